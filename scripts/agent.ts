// node scripts/agent.ts [--out FILE]: makes build/warmsite-agent.mjs, the whole agent in one file for a plain Node 24.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { stripTypeScriptTypes } from 'node:module';
import { dirname, join, relative } from 'node:path';
import { parseArgs } from 'node:util';

const ROOT = join(import.meta.dirname, '..');
const ENTRY = join(ROOT, 'adapters/agent/main.ts');

/** What the agent may be made of: it runs on other people's hosts, and carries nothing that it does not need. */
const OURS = /^(?:adapters\/(?:agent|block)\/[\w-]+|core\/contract\/errors)\.ts$/;

const IMPORT = /^import \{([^}]*)\} from '([^']+)';$/gm;
const EXPORT = /^export (const|class|function\*?|async function\*?) (\w+)/gm;

interface Module {
  readonly name: string;
  readonly body: string;
}

/** Every module becomes a function that gives its exports, called once, after those that it imports. */
class Program {
  readonly #modules = new Map<string, Module>();
  readonly #builtIns = new Map<string, string>();

  add(path: string): string {
    const known = this.#modules.get(path);
    if (known) return known.name;
    const label = relative(ROOT, path).replaceAll('\\', '/');
    if (!OURS.test(label)) throw new Error(`the agent must not carry ${label}`);
    const names: string[] = [];
    const code = stripTypeScriptTypes(readFileSync(path, 'utf8'))
      .replace(IMPORT, (_, list: string, from: string) => `const {${list.replaceAll(' as ', ': ')}} = ${this.#reach(path, from)};`)
      .replace(EXPORT, (_, kind: string, name: string) => {
        names.push(name);
        return `${kind} ${name}`;
      });
    const left = /^(?:import|export)\b.*/m.exec(code);
    if (left) throw new Error(`${label} has a form that this build does not know: ${left[0]}`);
    const name = `module${this.#modules.size + 1}`;
    const tidy = code
      .replace(/[ \t]+$/gm, '')
      .replace(/\n{3,}/g, '\n\n')
      .trim();
    this.#modules.set(path, { name, body: `// ${label}\nconst ${name} = (() => {\n${tidy}\nreturn { ${names.join(', ')} };\n})();\n` });
    return name;
  }

  text(): string {
    const imports = [...this.#builtIns].map(([from, name]) => `import * as ${name} from '${from}';\n`);
    return `#!/usr/bin/env node\n${imports.join('')}\n${[...this.#modules.values()].map(({ body }) => body).join('\n')}`;
  }

  #reach(path: string, from: string): string {
    if (from.startsWith('.')) return this.add(join(dirname(path), from));
    if (!from.startsWith('node:')) throw new Error(`${relative(ROOT, path)} imports ${from}, which a plain Node does not have`);
    const name = this.#builtIns.get(from) ?? `node${this.#builtIns.size + 1}`;
    this.#builtIns.set(from, name);
    return name;
  }
}

const { values } = parseArgs({ options: { out: { type: 'string', default: join(ROOT, 'build/warmsite-agent.mjs') } } });
const program = new Program();
program.add(ENTRY);
mkdirSync(dirname(values.out), { recursive: true });
writeFileSync(values.out, program.text(), { mode: 0o755 });
