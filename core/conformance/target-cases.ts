import assert from 'node:assert/strict';
import type { DiskId, MachineId, MachineSpec, Placed, PlaceId, ReplicaDisk } from '../contract/index.ts';
import type { Case } from './case.ts';
import type { Context, Replica } from './context.ts';
import { HOSTILE_NAMES } from './inventory-cases.ts';
import { assertAborted, assertRefused, assertSameBytes, collect, isZero, pattern, readRange } from './probe.ts';
import { assertFindings } from './session-cases.ts';

/** Every disk and NIC that was asked for is answered with one that the machine has. */
export const assertPlaced = (what: string, placed: Placed, spec: MachineSpec): void => {
  const { machine, disks, nics, findings } = placed;
  assert.deepEqual(
    [...disks.keys()].sort(),
    spec.disks.map((disk) => disk.id).sort(),
    `${what} maps disks ${[...disks.keys()].join(', ')}`,
  );
  assert.deepEqual([...nics.keys()].sort(), spec.nics.map((nic) => nic.id).sort(), `${what} maps NICs ${[...nics.keys()].join(', ')}`);
  assert.equal(new Set(disks.values()).size, disks.size, `${what} maps two disks to one`);
  for (const asked of spec.disks) {
    const made = machine.spec.disks.find((disk) => disk.id === disks.get(asked.id));
    assert.ok(made, `${what} maps disk ${asked.id} to ${disks.get(asked.id)}, which the machine does not have`);
    assert.ok(made.sizeBytes >= asked.sizeBytes, `${what}: disk ${made.id} has ${made.sizeBytes} bytes, asked for ${asked.sizeBytes}`);
  }
  for (const nic of nics.values()) {
    assert.ok(
      machine.spec.nics.some((own) => own.id === nic),
      `${what} maps a NIC to ${nic}, which the machine does not have`,
    );
  }
  assertFindings(what, findings);
};

const machinesNow = async (ctx: Context): Promise<MachineId[]> =>
  (await collect(ctx.session.inventory.listMachines({}, ctx.call()))).map(({ id }) => id);

/** Both ends and the middle, whatever the alignment. */
const places = ({ sizeBytes, alignmentBytes }: ReplicaDisk): number[] => {
  const down = (offset: number) => offset - (offset % alignmentBytes);
  return [0, down(sizeBytes / 2), down(sizeBytes - 65_536)];
};

const LENGTH = 65_536;

const writePlaces = async (ctx: Context, replica: Replica, disk: ReplicaDisk, seed: number): Promise<void> => {
  const call = await ctx.writing(replica.id);
  for (const [index, offset] of places(disk).entries()) await disk.write(offset, pattern(seed + index, LENGTH), call());
  await disk.flush(call());
};

const grown = (spec: MachineSpec, by: number): MachineSpec => ({
  ...spec,
  disks: spec.disks.map((disk, index) => (index === 0 ? { ...disk, sizeBytes: disk.sizeBytes + by } : disk)),
});

export const targetCases: readonly Case[] = [
  {
    id: 'TGT-001',
    level: 3,
    title: 'a new replica is off, whole and mapped',
    promise: 'createReplica MUST make a machine that is off, with every disk and NIC that was asked for, and MUST say which is which.',
    cause: 'the ids are taken in the order of the answer, or the endpoint starts the machine',
    needs: ['target:create'],
    run: async (ctx) => {
      const { id, placed, spec } = await ctx.replica();
      const seen = await ctx.session.inventory.getMachine(id, ctx.call());

      assertPlaced('createReplica', placed, spec);
      assert.equal(seen.power, 'off', `a new replica is ${seen.power}`);
      assert.deepEqual(
        seen.spec.disks.map((disk) => disk.id),
        placed.machine.spec.disks.map((disk) => disk.id),
        'the inventory has other disks than the answer',
      );
    },
  },
  {
    id: 'TGT-002',
    level: 3,
    title: 'the same operation makes one replica',
    promise: 'createReplica with the operationId of an earlier call MUST answer with the machine that this one made.',
    cause: 'the operationId is not stored with the machine',
    needs: ['target:create'],
    run: async (ctx) => {
      const before = await machinesNow(ctx);
      const call = await ctx.fenced();
      const create = (): Promise<Placed> => ctx.target.createReplica!(ctx.spec(), ctx.replicaRequest(), call);
      const one = await create();
      const two = await create();

      const made = (await machinesNow(ctx)).filter((id) => !before.includes(id));
      assert.equal(two.machine.id, one.machine.id, `the same operation made ${one.machine.id} and ${two.machine.id}`);
      assert.deepEqual([...two.disks], [...one.disks], 'the second answer maps the disks otherwise');
      assert.deepEqual(made, [one.machine.id], `${made.length} machines were made`);
    },
  },
  {
    id: 'TGT-003',
    level: 3,
    title: 'a replica is made under an odd name, and connected as asked',
    promise: 'createReplica MUST take any name, and MUST connect each NIC to the place that was asked for, or to none.',
    cause: 'the name is spliced into a command or a path',
    needs: ['target:create'],
    run: async (ctx) => {
      const { network } = ctx.scratch;
      for (const name of HOSTILE_NAMES) {
        const spec = ctx.spec(1);
        const to: PlaceId | 'disconnected' = network ?? 'disconnected';
        const request = { ...ctx.replicaRequest(name), nics: new Map(spec.nics.map((nic) => [nic.id, to])) };
        const placed = await ctx.target.createReplica!(spec, request, await ctx.fenced());
        const made = await ctx.session.inventory.getMachine(placed.machine.id, ctx.call());

        assertPlaced(`createReplica of ${JSON.stringify(name)}`, placed, spec);
        assert.equal(made.spec.nics[0]?.network, network, `the NIC of the replica is at ${made.spec.nics[0]?.network}, asked for ${to}`);
      }
    },
  },
  {
    id: 'TGT-004',
    level: 3,
    title: 'a replica that was aborted under way is found by its operation',
    promise: 'After an abort, createReplica that is repeated with the same operationId MUST give one machine.',
    cause: 'the tag is written after the machine was made',
    needs: ['target:create'],
    run: async (ctx) => {
      const before = await machinesNow(ctx);
      const first = ctx.abortable({ fence: ctx.epoch(1) });
      first.abort();
      const refused = () => ctx.target.createReplica!(ctx.spec(), ctx.replicaRequest(), first.call);
      await assertAborted('createReplica', first.call, refused);
      assert.deepEqual(await machinesNow(ctx), before, 'a machine was made although the signal had aborted before');

      const { call, abort } = ctx.abortable({ fence: ctx.epoch(1) });
      const creating = ctx.target.createReplica!(ctx.spec(), ctx.replicaRequest(), call);
      abort();
      await creating.catch(() => undefined);
      const retry = await ctx.fenced(undefined, { operationId: call.operationId });
      const placed = await ctx.target.createReplica!(ctx.spec(), ctx.replicaRequest(), retry);

      const made = (await machinesNow(ctx)).filter((id) => !before.includes(id));
      assert.deepEqual(made, [placed.machine.id], `after an abort and a retry there are ${made.length} machines`);
    },
  },
  {
    id: 'TGT-005',
    level: 3,
    title: 'what is written is read back, and nothing else changes',
    promise: 'write MUST store the bytes at their offset and nothing else; the rest of a new replica MUST read as zero.',
    cause: 'offsets are counted in the wrong unit, or a short write is taken for a whole one',
    needs: ['target', 'replica'],
    run: async (ctx) => {
      const replica = await ctx.replica();
      const disk = await ctx.openReplicaDisk(replica);
      const expected = ctx.target.createReplica ? new Uint8Array(disk.sizeBytes) : await readRange(disk, ctx.call);
      await writePlaces(ctx, replica, disk, 1);
      for (const [index, offset] of places(disk).entries()) expected.set(pattern(1 + index, LENGTH), offset);

      assertSameBytes('the replica after writing', await readRange(disk, ctx.call), expected);
      await disk[Symbol.asyncDispose]();
      assertSameBytes('the replica, opened again,', await readRange(await ctx.openReplicaDisk(replica), ctx.call), expected);
    },
  },
  {
    id: 'TGT-006',
    level: 3,
    title: 'zeroes are written where they are asked for',
    promise: 'writeZeroes MUST make the range read as zero, of any aligned length up to the whole disk, and nothing else.',
    cause: 'a range is rounded out to blocks of the endpoint, or split wrongly',
    needs: ['target', 'replica'],
    run: async (ctx) => {
      const replica = await ctx.replica();
      const disk = await ctx.openReplicaDisk(replica);
      const call = await ctx.writing(replica.id);
      const most = Math.min(disk.maxRequestBytes, disk.sizeBytes, 1024 * 1024);
      await disk.write(0, pattern(5, most), call());
      const hole = { offset: disk.alignmentBytes, length: most / 2 - disk.alignmentBytes };
      await disk.writeZeroes(hole.offset, hole.length, call());
      const expected = pattern(5, most);
      expected.fill(0, hole.offset, hole.offset + hole.length);

      assertSameBytes('after writeZeroes', await readRange(disk, ctx.call, { length: most }), expected);
      await disk.writeZeroes(0, disk.sizeBytes, call());
      assert.ok(isZero(await readRange(disk, ctx.call)), 'after writeZeroes of the whole disk it is not zero');
    },
  },
  {
    id: 'TGT-007',
    level: 3,
    title: 'writes may overlap in time',
    promise: 'A replica disk MUST serve maxInFlight writes at a time, each at its own place.',
    cause: 'the caller changes the buffer after the write has resolved, and the plugin still holds it',
    needs: ['target', 'replica'],
    run: async (ctx) => {
      const replica = await ctx.replica();
      const disk = await ctx.openReplicaDisk(replica);
      const call = await ctx.writing(replica.id);
      const size = Math.max(disk.alignmentBytes, 16_384);
      const count = Math.min(disk.maxInFlight, 32, Math.floor(disk.sizeBytes / size));
      const writes = Array.from({ length: count }, async (_, index) => {
        const data = pattern(index, size);
        await disk.write(index * size, data, call());
        data.fill(0xee);
      });
      await Promise.all(writes);

      for (let index = 0; index < count; index += 1) {
        const seen = await readRange(disk, ctx.call, { offset: index * size, length: size });
        assertSameBytes(`one of ${count} writes at a time`, seen, pattern(index, size), index * size);
      }
    },
  },
  {
    id: 'TGT-008',
    level: 3,
    title: 'a write past the end is refused',
    promise: 'write and writeZeroes MUST reject with an error of the contract past the end of the disk, and MUST NOT grow it.',
    cause: 'the file under the disk grows',
    needs: ['target', 'replica'],
    run: async (ctx) => {
      const replica = await ctx.replica();
      const disk = await ctx.openReplicaDisk(replica);
      const call = await ctx.writing(replica.id);
      const data = pattern(1, 2 * disk.alignmentBytes);
      const last = disk.sizeBytes - disk.alignmentBytes;

      await assertRefused('a write across the end', () => disk.write(last, data, call()));
      await assertRefused('writeZeroes across the end', () => disk.writeZeroes(last, data.length, call()));
      const { sizeBytes } = await ctx.openReplicaDisk(replica);
      assert.equal(sizeBytes, disk.sizeBytes, `the disk has ${sizeBytes} bytes after a refused write, before ${disk.sizeBytes}`);
    },
  },
  {
    id: 'TGT-009',
    level: 3,
    title: 'a write that was aborted before it began writes nothing',
    promise: 'A changing call whose signal has aborted before it begins MUST reject with the reason and MUST have no effect.',
    cause: 'the signal is looked at after the request was sent',
    needs: ['target', 'replica'],
    run: async (ctx) => {
      const replica = await ctx.replica();
      const disk = await ctx.openReplicaDisk(replica);
      const { fence } = await ctx.fenced(replica.id);
      const before = await readRange(disk, ctx.call, { length: LENGTH });
      const { call, abort } = ctx.abortable(fence && { fence });
      abort();

      await assertAborted('write', call, () => disk.write(0, pattern(9, LENGTH), call));
      await assertAborted('writeZeroes', call, () => disk.writeZeroes(0, LENGTH, call));
      await assertAborted('flush', call, () => disk.flush(call));
      assertSameBytes('after an aborted write', await readRange(disk, ctx.call, { length: LENGTH }), before);
    },
  },
  {
    id: 'TGT-010',
    level: 3,
    title: 'a machine is adopted as it is',
    promise: 'adoptReplica MUST be idempotent, map every disk and NIC, and MUST NOT change the content of the disks.',
    cause: 'disks are matched by their order, or prepared for writing by clearing them',
    needs: ['target', 'adopt', 'lab'],
    run: async (ctx) => {
      const id = ctx.scratch.adopt!;
      const { spec } = await ctx.session.inventory.getMachine(id, ctx.call());
      for (const [index, disk] of spec.disks.entries()) await ctx.lab.write(id, disk.id, 4096, pattern(60 + index, 4096));
      for (const _ of ['once', 'twice']) {
        const placed = await ctx.target.adoptReplica(id, spec, await ctx.fenced(id));

        assertPlaced('adoptReplica', placed, spec);
        assert.equal(placed.machine.id, id, `adoptReplica of ${id} answered with ${placed.machine.id}`);
        for (const [index, { id: disk }] of spec.disks.entries()) {
          const open = await ctx.target.openReplicaDisk(id, placed.disks.get(disk)!, await ctx.fenced(id));
          assertSameBytes(
            `disk ${disk} after adoption`,
            await readRange(open, ctx.call, { offset: 4096, length: 4096 }),
            pattern(60 + index, 4096),
          );
        }
      }
    },
  },
  {
    id: 'TGT-011',
    level: 3,
    title: 'a replica grows and keeps what it has',
    promise: 'reshapeReplica MUST grow disks and add new ones, keep ids and content, and be idempotent.',
    cause: 'the grown disk is made anew, or the added disk takes the place of another one',
    needs: ['target:create'],
    run: async (ctx) => {
      const replica = await ctx.replica(ctx.spec(2));
      const disk = await ctx.openReplicaDisk(replica);
      await disk.write(0, pattern(11, LENGTH), (await ctx.writing(replica.id))());
      await disk[Symbol.asyncDispose]();
      const { sizeBytes } = replica.spec.disks[0]!;
      const wanted = grown(ctx.spec(3), ctx.scale.diskBytes);
      for (const _ of ['once', 'twice']) {
        const placed = await ctx.target.reshapeReplica(replica.id, wanted, await ctx.fenced(replica.id));

        assertPlaced('reshapeReplica', placed, wanted);
        for (const { id } of replica.spec.disks)
          assert.equal(placed.disks.get(id), replica.placed.disks.get(id), `disk ${id} is another one after reshaping`);
        assert.equal(placed.machine.spec.disks.length, 3, `the replica has ${placed.machine.spec.disks.length} disks, asked for 3`);
      }
      const after = await ctx.openReplicaDisk(replica);
      assert.equal(after.sizeBytes, sizeBytes + ctx.scale.diskBytes, `the grown disk has ${after.sizeBytes} bytes`);
      assertSameBytes('the grown disk', await readRange(after, ctx.call, { length: LENGTH }), pattern(11, LENGTH));
      assert.ok(isZero(await readRange(after, ctx.call, { offset: sizeBytes })), 'the new part of the grown disk is not zero');
    },
  },
  {
    id: 'TGT-012',
    level: 3,
    title: 'a replica never shrinks',
    promise: 'reshapeReplica MUST NOT make a disk smaller nor drop one; it MAY refuse.',
    cause: 'the size that was asked for is set as it is',
    needs: ['target', 'replica'],
    run: async (ctx) => {
      const replica = await ctx.replica();
      const { sizeBytes } = await ctx.openReplicaDisk(replica);
      const smaller = grown({ ...replica.spec, disks: replica.spec.disks.slice(0, 1) }, -ctx.scale.diskBytes / 2);
      const call = await ctx.fenced(replica.id);
      await ctx.target.reshapeReplica(replica.id, smaller, call).catch(() => undefined);

      const seen = await ctx.session.inventory.getMachine(replica.id, ctx.call());
      const after = seen.spec.disks.find((disk) => disk.id === replica.disks[0]);
      assert.equal(after?.sizeBytes, sizeBytes, `the disk has ${after?.sizeBytes} bytes after asking for less, before ${sizeBytes}`);
      for (const disk of replica.disks)
        assert.ok(
          seen.spec.disks.some(({ id }) => id === disk),
          `disk ${disk} is gone after reshaping`,
        );
    },
  },
  {
    id: 'TGT-013',
    level: 3,
    title: 'a replica disk that was deleted is gone, and can be deleted again',
    promise: 'deleteReplicaDisk MUST remove that disk only, and MUST succeed when it is gone.',
    cause: 'the disk is detached and its file stays, or "not found" is passed on as an error',
    needs: ['target:create'],
    run: async (ctx) => {
      const replica = await ctx.replica();
      const [kept, doomed] = replica.disks;
      for (const time of ['once', 'twice']) {
        await ctx.target.deleteReplicaDisk(replica.id, doomed!, await ctx.fenced(replica.id));
        const { spec } = await ctx.session.inventory.getMachine(replica.id, ctx.call());
        assert.deepEqual(
          spec.disks.map((disk) => disk.id),
          [kept],
          `after deleting a disk ${time} the replica has ${spec.disks.length} disks`,
        );
      }
    },
  },
  {
    id: 'TGT-014',
    level: 3,
    title: 'a replica that was deleted is gone, and can be deleted again',
    promise: 'deleteReplica MUST remove the machine with its disks, and MUST succeed when it is gone.',
    cause: 'the machine is unregistered and its disks stay, or "not found" is passed on as an error',
    needs: ['target:create'],
    run: async (ctx) => {
      const { id } = await ctx.replica();
      for (const _ of ['once', 'twice']) await ctx.target.deleteReplica!(id, await ctx.fenced());

      await assertRefused('getMachine of a deleted replica', () => ctx.session.inventory.getMachine(id, ctx.call()), 'NOT_FOUND');
    },
  },
  {
    id: 'TGT-015',
    level: 3,
    title: 'machines and disks that do not exist are not found',
    promise: 'openReplicaDisk, adoptReplica and reshapeReplica MUST reject with NOT_FOUND for a machine or disk that does not exist.',
    cause: 'an error of the SDK is passed on',
    needs: ['target', 'replica'],
    run: async (ctx) => {
      const { target } = ctx;
      const nobody = 'no-such-machine' as MachineId;
      const call = ctx.call({ fence: ctx.epoch(1) });
      const replica = await ctx.replica();
      const nothing = () => ctx.fenced(replica.id).then((fenced) => target.openReplicaDisk(replica.id, 'no-such-disk' as DiskId, fenced));

      await assertRefused(
        'openReplicaDisk of an unknown machine',
        () => target.openReplicaDisk(nobody, replica.disks[0]!, call),
        'NOT_FOUND',
      );
      await assertRefused('openReplicaDisk of an unknown disk', nothing, 'NOT_FOUND');
      await assertRefused('adoptReplica of an unknown machine', () => target.adoptReplica(nobody, replica.spec, call), 'NOT_FOUND');
      await assertRefused('reshapeReplica of an unknown machine', () => target.reshapeReplica(nobody, replica.spec, call), 'NOT_FOUND');
    },
  },
];
