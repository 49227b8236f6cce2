// The built file as its users start it.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { describe, it } from 'mocha';
import { AgentProcess, codeOf, equal, errorOf, Folder, MiB, program, ROOT, random, runProgram, until } from './agents.ts';
import { measure, measurePlain } from './throughput.ts';

/** A client in a process of its own, in the middle of writes for ever; it is dead at the end. */
const startWriter = (disk: string, files: string): { kill(): void; readonly ended: Promise<unknown>; readonly out: () => string } => {
  const code = `
    import { spawn } from 'node:child_process';
    import { openAgent } from '${join(ROOT, 'adapters/agent/client.ts')}';
    const child = spawn(process.execPath, ['${program()}', '--stdio', '--files', '${files}'], { stdio: ['pipe', 'pipe', 'inherit'] });
    const agent = await openAgent({ kind: 'channel', stdin: child.stdin, stdout: child.stdout, ended: new Promise((r) => child.once('exit', r)) });
    const device = await agent.openDevice('${disk}', { forWriting: true });
    console.log('agent ' + child.pid + ' ');
    for (;;) await Promise.all(Array.from({ length: 8 }, (_, index) => device.write(index * 1048576, new Uint8Array(1048576).fill(7))));`;
  const child = spawn(process.execPath, ['--input-type=module-typescript', '-e', code], { stdio: ['ignore', 'pipe', 'ignore'] });
  let out = '';
  child.stdout.on('data', (chunk: Buffer) => {
    out += String(chunk);
  });
  return { kill: () => void child.kill('SIGKILL'), ended: once(child, 'exit'), out: () => out };
};

const isRunning = (pid: number): boolean => {
  try {
    // A zombie, whose parent is dead already, is not.
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
};

describe('the agent as a program', () => {
  it('carries nothing but built-in modules, and has the version of the package', () => {
    const imports = [...readFileSync(program(), 'utf8').matchAll(/^import .* from '([^']+)'/gm)].map(([, from]) => from);
    const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string };

    expect(imports).to.not.be.empty;
    expect(imports.every((from) => from!.startsWith('node:'))).to.equal(true);
    expect(readFileSync(program(), 'utf8')).to.not.match(/\brequire\(|\bimport\(/);
    expect(runProgram(['--version'])).to.deep.equal({ status: 0, out: `${version}\n`, said: '' });
  });

  it('says what it takes, and what is wrong with what it was given', () => {
    const help = runProgram(['--help']);
    const wrong: readonly (readonly string[])[] = [
      [],
      ['--verbose'],
      ['/dev/sda'],
      ['--stdio', '--listen', '127.0.0.1:1'],
      ['--listen'],
      ['--listen', '127.0.0.1:0'],
      ['--listen', 'nowhere', '--certificate', 'a', '--key', 'b', '--ca', 'c'],
      ['--listen', '127.0.0.1:0', '--certificate', '/nowhere', '--key', '/nowhere', '--ca', '/nowhere'],
      ['--listen', '127.0.0.1:0', '--certificate', 'a', '--key', 'b', '--ca', 'c', '--client-sha256', 'ab'],
    ];

    expect(help).to.include({ status: 0, said: '' });
    expect(help.out).to.include('--stdio').and.to.include('--client-sha256');
    for (const args of wrong) {
      const { status, out, said } = runProgram(args);
      expect({ args, status, out }).to.deep.equal({ args, status: 2, out: '' });
      expect(said).to.match(/^(USAGE|CONFIG_INVALID): .+\n.+\n$/);
    }
  });

  it('ends by itself when what speaks to it is no client, and when nobody does', () => {
    expect(runProgram(['--stdio'], 'GET / HTTP/1.1\r\n\r\n')).to.include({ status: 1, out: '' });
    expect(runProgram(['--stdio'])).to.deep.equal({ status: 0, out: '', said: '' });
  });

  it('serves a disk over its standard streams', async () => {
    using folder = new Folder();
    const content = random(5 * MiB);
    const path = folder.file('disk', content);
    await using child = new AgentProcess('--stdio', '--files', folder.path);
    const agent = await child.open();
    expect(agent.info).to.include({ protocol: 1, platform: 'linux' });
    const device = await agent.openDevice(path, { forWriting: true });
    expect(device).to.include({ sizeBytes: 5 * MiB, logicalSectorBytes: 512, path, maxInFlight: 16 });

    const data = Buffer.from(random(3 * MiB, 7));
    await device.write(512, data);
    await device.writeZeroes(4 * MiB, 512 * 1024);
    await device.flush();
    const into = new Uint8Array(5 * MiB);
    await device.read(0, into);
    await device[Symbol.asyncDispose]();
    await agent[Symbol.asyncDispose]();

    content.set(data, 512);
    content.fill(0, 4 * MiB, 4 * MiB + 512 * 1024);
    expect(equal(into, content)).to.equal(true);
    expect(equal(readFileSync(path), content)).to.equal(true);
    expect(await child.ended).to.deep.equal([0, null]);
    expect(child.said).to.equal('');
  });

  it('ends in order when it is told to, and gives its devices up', async () => {
    using folder = new Folder();
    const path = folder.file('disk', random(MiB));
    await using child = new AgentProcess('--stdio', '--files', folder.path);
    const agent = await child.open();
    await agent.openDevice(path, { forWriting: true });

    child.child.kill('SIGTERM');

    expect(await child.ended).to.deep.equal([0, null]);
    await until(() => agent.lost.aborted);
    expect(await codeOf(agent.openDevice(path, { forWriting: true }))).to.equal('CONNECTION_LOST');
  });

  it('tells everybody who waits when it is killed in the middle of reads', async () => {
    using folder = new Folder();
    const path = folder.file('disk', random(32 * MiB));
    await using child = new AgentProcess('--stdio', '--files', folder.path);
    await using agent = await child.open();
    const device = await agent.openDevice(path, { forWriting: false });
    const read = (index: number): Promise<string> => codeOf(device.read(index * MiB, new Uint8Array(MiB)));

    const first = read(0);
    const others = Array.from({ length: 31 }, (_, index) => read(index + 1));
    expect(await first).to.equal('none');
    await child.kill();

    expect((await Promise.all(others)).filter((code) => code !== 'none' && code !== 'CONNECTION_LOST')).to.deep.equal([]);
    expect(agent.lost.reason).to.include({ code: 'CONNECTION_LOST' });
    expect(await read(1)).to.equal('CONNECTION_LOST');
    expect(await errorOf(device[Symbol.asyncDispose]())).to.equal(undefined);
  });

  it('ends when its client is killed in the middle of writes, so that the next one has the disk', async () => {
    using folder = new Folder();
    const path = folder.file('disk', random(8 * MiB));
    const writer = startWriter(path, folder.path);
    let pid = 0;
    try {
      await until(() => /agent \d+ /.test(writer.out()));
      pid = Number(/\d+/.exec(writer.out())![0]);
      await until(() => readFileSync(path)[MiB] === 7);
      expect(isRunning(pid)).to.equal(true);
    } finally {
      writer.kill();
      await writer.ended;
    }

    await until(() => !isRunning(pid));
    await using child = new AgentProcess('--stdio', '--files', folder.path);
    await using agent = await child.open();
    await using device = await agent.openDevice(path, { forWriting: true });
    await device.write(0, new Uint8Array(MiB));

    expect(equal(readFileSync(path).subarray(0, MiB), new Uint8Array(MiB))).to.equal(true);
  });

  it('keeps a device busy: 16 requests of 1 MiB at once', async function () {
    using folder = new Folder();
    const size = 256 * MiB;
    const path = folder.file('disk', random(size));
    const plain = await measurePlain(path, size);
    await using child = new AgentProcess('--stdio', '--files', folder.path);
    await using agent = await child.open();

    const { read, write, digests } = await measure(agent, path, size);

    this.test!.title += ` [${plain} MiB/s plain, ${read} read, ${write} written, ${digests} digested]`;
    expect(read).to.be.greaterThan(20);
  });
});
