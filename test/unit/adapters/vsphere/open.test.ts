import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { expect } from 'chai';
import { after, before, describe, it } from 'mocha';
import { RECORD_MODULES, runModule } from './child.ts';
import { HostileServer } from './hostile-server.ts';

const OPEN = resolve('adapters/vsphere/open.ts');

describe('the choice of a client', () => {
  let server: HostileServer;
  before(async () => {
    server = await HostileServer.start();
  });
  after(async () => {
    await server[Symbol.asyncDispose]();
  });

  const loadedBy = async (client: string): Promise<string[]> => {
    const source = `${RECORD_MODULES}
      const { createOpenVsphere } = await import('${OPEN}');
      const client = await createOpenVsphere()('${client}')(config);
      await client[Symbol.asyncDispose]();
      process.stdout.write(JSON.stringify(loaded));`;
    const { code, out, err } = await runModule(source, server.config);
    expect(code, err).to.equal(0);
    return JSON.parse(out) as string[];
  };

  it('loads neither soap nor a WSDL for the default', async () => {
    const loaded = await loadedBy('vim25');

    expect(loaded.filter((url) => /soap|axios|wsdl/i.test(url))).to.deep.equal([]);
    expect(loaded.filter((url) => url.includes('/adapters/vsphere/vim25/client.ts'))).to.have.lengthOf(1);
  });

  it('loads the package for the other one, but not into the thread of the engine', async () => {
    const loaded = await loadedBy('node-vsphere-soap');

    expect(loaded.filter((url) => url.includes('/adapters/vsphere/node-vsphere-soap/client.ts'))).to.have.lengthOf(1);
    expect(loaded.filter((url) => /node_modules\/(node-vsphere-soap|soap|axios)\//.test(url))).to.deep.equal([]);
  });

  it('has the default logged in for half a second of work at most, its import included', async () => {
    const source = `
      const { createOpenVsphere } = await import('${OPEN}');
      const client = await createOpenVsphere()('vim25')(config);
      // Of the processor, from the start of the process on: what else runs on this machine does not count.
      const { user, system } = process.cpuUsage();
      process.stdout.write(String((user + system) / 1_000));
      await client[Symbol.asyncDispose]();`;

    const { out } = await runModule(source, server.config);

    expect(Number(out)).to.be.above(0).and.at.most(500);
  });

  it('checks the certificate whatever the environment says', async () => {
    for (const client of ['vim25', 'node-vsphere-soap']) {
      const source = `
        const { createOpenVsphere } = await import('${OPEN}');
        await createOpenVsphere()('${client}')({ ...config, pin: undefined }).catch(({ code }) => process.stdout.write(code));`;

      const { out } = await runModule(source, server.config, { env: { NODE_TLS_REJECT_UNAUTHORIZED: '0', NODE_NO_WARNINGS: '1' } });

      expect(out, client).to.equal('CERTIFICATE_UNTRUSTED');
    }
  });

  describe('where the package is', () => {
    let folder = '';
    before(() => {
      folder = mkdtempSync(join(tmpdir(), 'ws-open-'));
      mkdirSync(join(folder, 'node_modules'));
      for (const part of ['adapters', 'core', 'node_modules/undici', 'node_modules/sax']) symlinkSync(resolve(part), join(folder, part));
    });
    after(() => rmSync(folder, { recursive: true, force: true }));

    const openThere = async (client: string): Promise<{ code?: string; message: string; hint: string }> => {
      const source = `
        const { createOpenVsphere } = await import('${join(folder, 'adapters/vsphere/open.ts')}');
        await createOpenVsphere()('${client}')(config).then(
          async (client) => { await client[Symbol.asyncDispose](); process.stdout.write('{"message":"open","hint":""}'); },
          ({ code, message, hint }) => process.stdout.write(JSON.stringify({ code, message, hint })));`;
      const { out, err } = await runModule(source, server.config, { args: ['--preserve-symlinks'] });
      expect(err).to.equal('');
      return JSON.parse(out) as { code?: string; message: string; hint: string };
    };

    it('absent: names it and how to install it, while the default works', async () => {
      const { code, message, hint } = await openThere('node-vsphere-soap');

      expect(code).to.equal('CONFIG_INVALID');
      expect(message).to.equal('the package node-vsphere-soap is not installed');
      expect(hint).to.include('npm install --save-exact node-vsphere-soap@0.0.2-5').and.to.include('"overrides"');
      expect(await openThere('vim25')).to.deep.include({ message: 'open' });
    });

    it('there without the overrides: names the soap that is too old', async () => {
      for (const [name, version] of Object.entries({ 'node-vsphere-soap': '0.0.2-5', soap: '0.8.0' })) {
        mkdirSync(join(folder, 'node_modules', name));
        writeFileSync(join(folder, 'node_modules', name, 'package.json'), JSON.stringify({ name, version }));
      }

      const { code, message, hint } = await openThere('node-vsphere-soap');

      expect(code).to.equal('CONFIG_INVALID');
      expect(message).to.include('soap 0.8.0, which is too old');
      expect(hint).to.include('"overrides"');
    });
  });
});
