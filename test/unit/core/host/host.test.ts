import { expect } from 'chai';
import { describe, it } from 'mocha';
import { collect, createBench, DISK_BYTES, d1, extents, m1, s1 } from './fake-plugin.ts';

describe('the host', () => {
  it('opens an endpoint as a session that carries calls, streams and reads to the plugin', async () => {
    const { endpoint, call, host } = createBench({ parts: { source: { changedExtents: () => extents([0, 512], [1024, 512]) } } });
    await using _host = host;
    const session = await host.open(endpoint);
    const { source } = session;
    if (source?.kind !== 'snapshot') throw new Error('no snapshot source');

    const machines = await collect(session.inventory.listMachines({}, call()));
    const changed = await collect(source.changedExtents(s1, d1, 0, call()));
    await using reader = await source.openReader(s1, d1, call());
    const block = new Uint8Array(512);
    await reader.read(0, block, call());

    expect(machines.map((machine) => machine.id)).to.deep.equal([m1]);
    expect(changed).to.deep.equal([
      { offset: 0, length: 512 },
      { offset: 1024, length: 512 },
    ]);
    expect(reader.sizeBytes).to.equal(DISK_BYTES);
    expect(block.every((byte) => byte === 7)).to.equal(true);
  });
});
