// YAML documents of operators: every error carries file, line, column and key path.
import { isMap, isScalar, LineCounter, type Node, type ParsedNode, parseAllDocuments, type Document as YamlDocument } from 'yaml';
import { z } from 'zod';
import { DrError } from '../core/contract/index.ts';
import { endpointSchema } from '../core/engine/operations-endpoint.ts';
import { ruleSchema } from '../core/engine/operations-rule.ts';
import { mappingSchema, planSchema } from '../core/engine/operations-setup.ts';
import { policySchema } from '../core/engine/policy.ts';
import { API_VERSION } from './output/print.ts';

const id = endpointSchema.shape.id;

const documentOf = <K extends string, S extends z.ZodType>(kind: K, name: z.ZodType<string>, spec: S) =>
  z.strictObject({ apiVersion: z.literal(API_VERSION), kind: z.literal(kind), metadata: z.strictObject({ name }), spec });

const resource = z.discriminatedUnion('kind', [
  documentOf('Site', id, z.strictObject({ name: z.string().min(1).max(300).optional() }).default({})),
  documentOf('Endpoint', id, endpointSchema.omit({ id: true })),
  documentOf('Mapping', z.string().min(1), mappingSchema),
  documentOf('Policy', id, policySchema.omit({ name: true })),
  documentOf('Plan', id, planSchema.omit({ name: true })),
  documentOf('Rule', id, ruleSchema.omit({ name: true })),
]);
export type Resource = z.infer<typeof resource>;

const config = z.strictObject({
  apiVersion: z.literal(API_VERSION),
  kind: z.literal('Config'),
  spec: z.strictObject({
    home: z.string().min(1).optional(),
    output: z.enum(['table', 'wide', 'json', 'yaml', 'name']).optional(),
  }),
});

/** Where in a file something stands, for errors found after parsing. */
export interface Place {
  readonly path: string;
  readonly line: number;
  readonly column: number;
}

export interface Located<T> {
  readonly value: T;
  /** The place of a key path, or of what encloses it. */
  at(...keys: readonly PropertyKey[]): Place;
}

const MAX_BYTES = 4 * 1024 * 1024;

export const invalid = (place: Place, key: string, message: string, hint?: string): DrError =>
  new DrError('CONFIG_INVALID', `${place.path}:${place.line}:${place.column}: ${key ? `${key}: ` : ''}${message}`, {
    context: { path: place.path, line: place.line, column: place.column, ...(key ? { key } : {}) },
    ...(hint === undefined ? {} : { hint }),
  });

const keyText = (keys: readonly PropertyKey[]): string =>
  keys.map((key, index) => (typeof key === 'number' ? `[${key}]` : `${index > 0 ? '.' : ''}${String(key)}`)).join('');

/** The node at a key path; for a key that is not there the nearest node around it. `ofKey`: the key itself, not its value. */
const nodeAt = (root: ParsedNode | null, keys: readonly PropertyKey[], ofKey: boolean): Node | undefined => {
  let node: Node | undefined = root ?? undefined;
  for (const [index, key] of keys.entries()) {
    if (isMap(node)) {
      const pair = node.items.find((item) => isScalar(item.key) && String(item.key.value) === String(key));
      if (!pair) return node;
      if (ofKey && index === keys.length - 1) return pair.key as Node;
      node = (pair.value ?? pair.key) as Node;
    } else if (node && 'items' in node && typeof key === 'number') {
      const next = (node.items as Node[])[key];
      if (!next) return node;
      node = next;
    } else return node;
  }
  return node;
};

const parseDocuments = (text: string, path: string): { documents: YamlDocument.Parsed[]; lines: LineCounter } => {
  if (Buffer.byteLength(text) > MAX_BYTES)
    throw new DrError('CONFIG_INVALID', `${path} is longer than ${MAX_BYTES} bytes`, { context: { path } });
  const lines = new LineCounter();
  const parsed = parseAllDocuments(text, { lineCounter: lines, prettyErrors: false, maxAliasCount: 100 } as never);
  const documents = ('empty' in parsed ? [] : [...parsed]) as YamlDocument.Parsed[];
  for (const document of documents) {
    const [error] = document.errors;
    if (!error) continue;
    const { line, col } = lines.linePos(error.pos[0]);
    throw invalid({ path, line, column: col }, '', error.message.split('\n')[0] ?? 'not YAML', 'correct the YAML at this place');
  }
  return { documents, lines };
};

const locate = (document: YamlDocument.Parsed, lines: LineCounter, path: string) => {
  return (keys: readonly PropertyKey[], ofKey = false): Place => {
    const range = (nodeAt(document.contents, keys, ofKey) as { range?: readonly number[] } | undefined)?.range;
    const { line, col } = lines.linePos(range?.[0] ?? 0);
    return { path, line: Math.max(1, line), column: Math.max(1, col) };
  };
};

const readDocument = <S extends z.ZodType>(
  document: YamlDocument.Parsed,
  lines: LineCounter,
  path: string,
  schema: S,
): Located<z.infer<S>> => {
  const find = locate(document, lines, path);
  const result = schema.safeParse(toValue(document, path));
  if (result.success) return { value: result.data, at: (...keys) => find(keys) };
  const issue = deepest(result.error.issues);
  const unknown = issue.code === 'unrecognized_keys' ? issue.keys[0] : undefined;
  const keys = unknown === undefined ? issue.path : [...issue.path, unknown];
  throw invalid(find(keys, unknown !== undefined), keyText(keys), unknown === undefined ? issue.message : 'this key is not known here');
};

const toValue = (document: YamlDocument.Parsed, path: string): unknown => {
  try {
    return document.toJS({ maxAliasCount: 100 });
  } catch (error) {
    throw new DrError('CONFIG_INVALID', `${path}: ${error instanceof Error ? error.message : String(error)}`, { context: { path } });
  }
};

/** Of a union's alternatives: a key that none of them knows, else what came furthest. */
const deepest = (issues: readonly z.core.$ZodIssue[]): z.core.$ZodIssue => {
  const [issue] = issues as [z.core.$ZodIssue];
  if (issue.code !== 'invalid_union' || issue.errors.length === 0) return issue;
  const unknown = issue.errors.map((alternative) => alternative.find((inner) => inner.code === 'unrecognized_keys'));
  const inner = unknown.every((found) => found !== undefined)
    ? unknown[0]
    : issue.errors.map((alternative) => deepest(alternative)).sort((a, b) => b.path.length - a.path.length)[0];
  return inner && (inner.path.length > 0 || inner.code === 'unrecognized_keys')
    ? { ...inner, path: [...issue.path, ...inner.path] }
    : issue;
};

/** All documents of a file, each checked. */
export const readResources = (text: string, path: string): Located<Resource>[] => {
  const { documents, lines } = parseDocuments(text, path);
  const filled = documents.filter((document) => document.contents !== null);
  if (filled.length === 0)
    throw new DrError('CONFIG_INVALID', `${path} has no document`, {
      context: { path },
      hint: 'write documents of the kinds Site, Endpoint, Mapping, Policy, Plan or Rule',
    });
  return filled.map((document) => readDocument(document, lines, path, resource));
};

export const readConfig = (text: string, path: string): { readonly home?: string; readonly output?: string } => {
  const { documents, lines } = parseDocuments(text, path);
  const [document] = documents;
  if (!document || document.contents === null) return {};
  const { home, output } = readDocument(document, lines, path, config).value.spec;
  return { ...(home === undefined ? {} : { home }), ...(output === undefined ? {} : { output }) };
};
