import { expect } from 'chai';
import { describe, it } from 'mocha';
import { labelsIn, type Marks, readable, readNotes, writeNotes } from '../../../../plugins/hyperv/notes.ts';
import { callOf, codesOf, crash, epoch, errorOf, Ground, made, OWNER, snapshotSource, WEB } from './ground.ts';

const marks: Marks = { owner: OWNER, epoch: epoch(3), points: { a: 'b' } };
const line = `warmsite: ${JSON.stringify(marks)}`;

describe('notes of a machine', () => {
  for (const [what, text] of [
    ['nothing', ''],
    ['one line', 'of people'],
    ['lines with CRLF', 'one\r\ntwo\r\n\r\nfour\r\n'],
    ['64 KiB', 'x\ny'.repeat(21_845)],
    ['what looks like ours and is not', 'warmsite: please replicate\n warmsite: {no\nlabels: tier=1'],
    ['all kinds of line breaks', 'a\u2028warmsite: {\u2029b\u0085c\vd\fe\n'],
    ['a reference in a replacement', "$& $1 $` $' \\n"],
  ] as const) {
    it(`are ${what} again once ours is taken out`, () => {
      const written = writeNotes({ text, marks });

      expect(readNotes(written)).to.deep.equal({ text, marks });
      expect(writeNotes({ text: readNotes(written).text, marks: undefined })).to.equal(text);
    });
  }

  it('keep what people write before our line and after it, and its line breaks', () => {
    const { text, marks: read } = readNotes(`before\r\n${line}\r\nafter\r\nend`);

    expect(text).to.equal('before\r\nafter\r\nend');
    expect(read).to.deep.equal(marks);
  });

  it('have one line of ours again where somebody has copied it, with the highest epoch of all', () => {
    const older = `warmsite: ${JSON.stringify({ ...marks, epoch: epoch(2) })}`;

    for (const notes of [`a\n${line}\nb\n${older}`, `a\n${older}\nb\n${line}`]) {
      expect(readNotes(notes)).to.deep.equal({ text: 'a\nb', marks });
    }
  });

  it('whose line of ours somebody has broken are read by who only looks, and by nobody who acts', () => {
    const notes = `a\n${line.slice(0, -2)}`;

    expect(readable(notes)).to.deep.equal({ text: notes, marks: undefined });
    expect(() => readNotes(notes)).to.throw('somebody has changed it');
  });

  it('give labels, whatever stands between them', () => {
    expect(labelsIn('x\r\nlabels: app=erp  tier=1=2\t__proto__=x =y z')).to.deep.include({ app: 'erp', tier: '1=2' });
    expect(labelsIn('no labels: a=b')).to.deep.equal({});
  });

  it('are shown, found wanting and not fenced with while our line in them is broken; other machines go on', async () => {
    await using ground = await Ground.create({ machines: [WEB, { ...WEB, name: 'db' }] });
    const session = await ground.connect();
    const { id } = await ground.machine(session, 'web');
    const db = await ground.machine(session, 'db');
    ground.hv(id).notes = `of people\n${line.slice(0, -2)}`;

    expect(await Array.fromAsync(session.inventory.listMachines({}, callOf()))).to.have.length(2);
    expect((await session.inventory.getMachine(id, callOf())).name).to.equal('web');
    expect(codesOf(await session.inventory.checkProtectable(id, 'source', callOf()))).to.include('NOTES_DAMAGED');
    expect((await errorOf(session.power!.set(id, 'off', callOf()))).code).to.equal('PROTOCOL_ERROR');
    const snapshot = await snapshotSource(session).createSnapshot([db.id], crash(), callOf());
    expect((await Array.fromAsync(snapshotSource(session).listSnapshots(callOf()))).map(({ id: one }) => one)).to.deep.equal([snapshot.id]);
    expect(ground.hv(id).notes).to.equal(`of people\n${line.slice(0, -2)}`);
  });

  it('of people outlive a whole cycle, a fence and an adoption', async () => {
    const text = 'labels: app=erp\r\n"quotes" \'single\' `$(x)` \\ 日本語 😀\r\nlast line';
    await using one = await made();
    const { ground, session } = one;
    const { id, spec } = one.source;
    ground.hv(id).notes = text;
    const snapshot = await snapshotSource(session).createSnapshot([id], crash(), callOf());
    await snapshotSource(session).releaseSnapshot(snapshot.id, 'sealed', callOf());
    await session.fence!.advance(id, undefined, epoch(1), callOf());
    await session.power!.set(id, 'off', callOf({ fence: epoch(1) }));
    await session.target!.adoptReplica(id, spec, callOf({ fence: epoch(1) }));

    expect(readNotes(ground.hv(id).notes).text).to.equal(text);
    expect(await session.fence!.read(id, callOf())).to.deep.equal(epoch(1));
    expect((await session.inventory.getMachine(id, callOf())).labels).to.deep.equal({ app: 'erp' });
  });

  it('that came with a copy of a whole machine do not make it the replica', async () => {
    await using one = await made({ machines: [WEB, { ...WEB, name: 'imported', power: 'off' }] });
    const { ground, session, source, replica } = one;
    const { operation } = readNotes(ground.hv(replica).notes).marks!.replica!;
    const { id } = await ground.machine(session, 'imported');
    ground.hv(id).notes = ground.hv(replica).notes;

    const again = await session.target!.createReplica!(source.spec, { name: 'copy', nics: new Map() }, callOf({ operationId: operation! }));

    expect(again.machine.id).to.equal(replica);
  });
});
