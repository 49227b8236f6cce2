import assert from 'node:assert/strict';
import type { MachineId, NativePair, NativePeer, NativeStatus, NativeStep, NicId, PlaceId, Session } from '../contract/index.ts';
import type { Case } from './case.ts';
import type { Context } from './context.ts';
import { assertRefused, collect, refusal } from './probe.ts';

const SETTINGS = { frequencySeconds: 30, points: 4, applicationConsistentHours: 0, compression: true, authentication: 'kerberos' } as const;
const POLL_MS = 1_000;
const POLLS = 600;
const NICS: ReadonlyMap<NicId, PlaceId | 'disconnected'> = new Map();

interface Ends {
  readonly id: MachineId;
  readonly source: NativePair;
  readonly replica: NativePair;
  readonly other: Session;
  readonly to: NativePeer;
}

const peerOf = async (ctx: Context, pair: NativePair): Promise<NativePeer> => {
  const { address, port, authentication } = await pair.listener(ctx.call());
  const settings = { ...SETTINGS, authentication: authentication[0] ?? 'kerberos', ...ctx.pair.settings };
  return { address, port, settings };
};

const statusOf = async (ctx: Context, pair: NativePair, id: MachineId): Promise<NativeStatus> => {
  const [status] = await collect(pair.observe([id], ctx.call()));
  assert.ok(status, `observe gives nothing for machine ${id}`);
  return status;
};

/** Looks until it is so; the estate's time goes on where a lab has it. */
const until = async (
  ctx: Context,
  pair: NativePair,
  id: MachineId,
  what: string,
  so: (status: NativeStatus) => boolean,
): Promise<NativeStatus> => {
  for (let poll = 0; ; poll += 1) {
    const status = await statusOf(ctx, pair, id);
    if (so(status)) return status;
    assert.ok(poll < POLLS, `machine ${id} is ${status.role} in state ${status.vendorState}, expected ${what}`);
    await (ctx.subject.lab ? ctx.lab.advance(POLL_MS) : new Promise((resolve) => setTimeout(resolve, POLL_MS)));
  }
};

const call = (ctx: Context) => ctx.call({ fence: ctx.epoch(1) });
const act = (ctx: Context, pair: NativePair, id: MachineId, step: NativeStep): Promise<NativeStatus> => pair.act(id, step, call(ctx));

/** Works on the pair, and leaves none: whatever is told then is told to both ends. */
const withEnds = async (ctx: Context, work: (ends: Ends) => Promise<void>): Promise<void> => {
  const other = await ctx.connect({}, ctx.pair.config);
  const source = ctx.nativePair;
  const replica = other.nativePair;
  assert.ok(replica, 'the other endpoint has no native pair');
  const { machine: id } = ctx.pair;
  const ends = { id, source, replica, other, to: await peerOf(ctx, replica) };
  try {
    await work(ends);
  } finally {
    const status = (await collect(replica.observe([id], ctx.call())))[0];
    if (status?.testMachine) await refusal(() => act(ctx, replica, id, { do: 'endTest' }));
    await refusal(() => other.power?.set(id, 'off', call(ctx)) ?? Promise.resolve());
    for (const end of [source, replica]) await end.remove(id, call(ctx));
    await refusal(() => other.target?.deleteReplica?.(id, call(ctx)) ?? Promise.resolve());
    await ctx.session.power?.set(id, 'on', call(ctx));
  }
};

/** Both ends replicate, and the replica holds a whole state. */
const replicating = async (ctx: Context, { id, source, replica, to }: Ends): Promise<void> => {
  await source.enable(id, to, call(ctx));
  await source.seed(id, { by: 'network' }, call(ctx));
  await until(ctx, source, id, 'Replicating', (status) => status.vendorState === 'Replicating');
  await until(ctx, replica, id, 'a state that a failover can start from', (status) => status.allowed.includes('failover'));
};

const needs = ['nativePair', 'pair', 'power:on', 'power:off'] as const;

export const nativeCases: readonly Case[] = [
  {
    id: 'NAT-001',
    level: 4,
    title: 'an end says how it is reached, and what does not replicate',
    promise:
      'listener MUST give the address, port and authentication for the other end, and observe MUST give the role none for a machine that does not replicate and nothing for one that is not there.',
    cause: 'a machine without replication is left out, or a missing one makes the whole call fail',
    needs,
    run: async (ctx) => {
      await withEnds(ctx, async ({ id, source, to }) => {
        assert.ok(to.address !== '' && to.port > 0, `the other end is to be reached at ${to.address}:${to.port}`);
        const seen = await collect(source.observe([id, 'no-such-machine' as MachineId], ctx.call()));

        assert.deepEqual(
          seen.map(({ machine, role }) => [machine, role]),
          [[id, 'none']],
          `of a machine that does not replicate and one that is not there observe gives ${seen.length}`,
        );
      });
    },
  },
  {
    id: 'NAT-002',
    level: 4,
    title: 'enable makes one replica, off, under the same id',
    promise:
      'enable MUST make a replica at the other end that has the id of its source and is off, MUST copy nothing yet, and MUST succeed when the machine replicates there already.',
    cause: 'the vendor refuses to enable twice, and that is passed on',
    needs,
    run: async (ctx) => {
      await withEnds(ctx, async ({ id, source, replica, other, to }) => {
        for (const time of ['once', 'twice']) {
          await source.enable(id, to, call(ctx));
          await until(ctx, replica, id, 'a replica', ({ role }) => role === 'replica');
          const roles = [(await statusOf(ctx, source, id)).role, (await statusOf(ctx, replica, id)).role];
          const { power } = await other.inventory.getMachine(id, ctx.call());

          assert.deepEqual(
            [...roles, power],
            ['source', 'replica', 'off'],
            `enabled ${time}, the ends are ${roles.join(' and ')}, the replica is ${power}`,
          );
        }
        const { vendorState, replicatedAt } = await statusOf(ctx, replica, id);
        assert.equal(replicatedAt, undefined, `before its first copy the replica (${vendorState}) holds a state of ${replicatedAt}`);
      });
    },
  },
  {
    id: 'NAT-003',
    level: 4,
    title: 'the first copy ends with a state that the replica holds',
    promise:
      'seed MUST answer when the copy is under way, MUST succeed when it is told again, and the replica MUST state the instant that it holds when it is whole.',
    cause: 'the time of the last transfer is not read, or read from the source',
    needs,
    run: async (ctx) => {
      await withEnds(ctx, async (ends) => {
        const { id, source, replica, to } = ends;
        await source.enable(id, to, call(ctx));
        for (let time = 0; time < 2; time += 1) await source.seed(id, { by: 'network' }, call(ctx));
        await replicating(ctx, ends);
        const { replicatedAt } = await statusOf(ctx, replica, id);

        assert.ok(replicatedAt !== undefined && !Number.isNaN(Date.parse(replicatedAt)), `the replica holds a state of ${replicatedAt}`);
      });
    },
  },
  {
    id: 'NAT-004',
    level: 4,
    title: 'a test is a second machine, which endTest removes',
    promise:
      'test MUST make a second machine that is off and that the status names, MUST leave the replica replicating, and endTest MUST remove it.',
    cause: 'the id of the test machine is not looked up, or that of the replica is given',
    needs,
    run: async (ctx) => {
      await withEnds(ctx, async (ends) => {
        const { id, replica, other } = ends;
        await replicating(ctx, ends);
        await act(ctx, replica, id, { do: 'test', nics: NICS });
        const { testMachine, role } = await until(ctx, replica, id, 'a test machine', (status) => status.testMachine !== undefined);
        assert.ok(testMachine && testMachine !== id, `the test machine is ${testMachine}`);
        const { power } = await other.inventory.getMachine(testMachine, ctx.call());
        assert.deepEqual([role, power], ['replica', 'off'], `during a test the machine is ${role}, the test machine ${power}`);
        await act(ctx, replica, id, { do: 'endTest' });
        await until(ctx, replica, id, 'no test machine', (status) => status.testMachine === undefined);

        await assertRefused('getMachine of an ended test', () => other.inventory.getMachine(testMachine, ctx.call()), 'NOT_FOUND');
      });
    },
  },
  {
    id: 'NAT-005',
    level: 4,
    title: 'a planned failover can be taken back at both ends',
    promise:
      'prepare at a source that is off MUST lead to PreparedForFailover, failover MUST lead to FailedOverWaitingCompletion and leave the replica off, and cancel MUST lead both ends back to Replicating.',
    cause: 'only the replica is taken back: its source stays prepared and sends nothing',
    needs,
    run: async (ctx) => {
      await withEnds(ctx, async (ends) => {
        const { id, source, replica, other } = ends;
        await replicating(ctx, ends);
        await ctx.power.set(id, 'off', call(ctx));
        await act(ctx, source, id, { do: 'prepare' });
        await until(ctx, source, id, 'PreparedForFailover', ({ vendorState }) => vendorState === 'PreparedForFailover');
        await act(ctx, replica, id, { do: 'failover', nics: NICS });
        await until(ctx, replica, id, 'FailedOverWaitingCompletion', ({ vendorState }) => vendorState === 'FailedOverWaitingCompletion');
        const { power } = await other.inventory.getMachine(id, ctx.call());
        assert.equal(power, 'off', `after failover and before it is started the replica is ${power}`);
        for (const end of [replica, source]) await act(ctx, end, id, { do: 'cancel' });

        for (const end of [replica, source]) await until(ctx, end, id, 'Replicating', ({ vendorState }) => vendorState === 'Replicating');
      });
    },
  },
  {
    id: 'NAT-006',
    level: 4,
    title: 'commit is final',
    promise: 'After an unplanned failover commit MUST lead to FailedOver, where no point is left and cancel is not accepted.',
    cause: 'commit answers before the vendor has completed the failover',
    needs,
    run: async (ctx) => {
      await withEnds(ctx, async (ends) => {
        const { id, replica } = ends;
        await replicating(ctx, ends);
        await ctx.power.set(id, 'off', call(ctx));
        await act(ctx, replica, id, { do: 'failover', nics: NICS });
        await act(ctx, replica, id, { do: 'commit' });
        const { points, allowed } = await until(ctx, replica, id, 'FailedOver', ({ vendorState }) => vendorState === 'FailedOver');

        assert.deepEqual(
          [points.length, allowed.includes('cancel')],
          [0, false],
          `after commit ${points.length} points are left, allowed is ${allowed.join()}`,
        );
      });
    },
  },
  {
    id: 'NAT-007',
    level: 4,
    title: 'reverse turns the pair round',
    promise:
      'reverse after a planned failover MUST make the replica the source of the old one, which MUST be its replica, and both MUST replicate.',
    cause: 'the old source is left as it was and refuses what is sent to it',
    needs,
    run: async (ctx) => {
      await withEnds(ctx, async (ends) => {
        const { id, source, replica } = ends;
        await replicating(ctx, ends);
        await ctx.power.set(id, 'off', call(ctx));
        await act(ctx, source, id, { do: 'prepare' });
        await until(ctx, source, id, 'PreparedForFailover', ({ vendorState }) => vendorState === 'PreparedForFailover');
        await act(ctx, replica, id, { do: 'failover', nics: NICS });
        await act(ctx, replica, id, { do: 'commit' });
        await act(ctx, replica, id, { do: 'reverse', to: await peerOf(ctx, source) });

        await until(ctx, replica, id, 'a source', ({ role, vendorState }) => role === 'source' && vendorState === 'Replicating');
        await until(ctx, source, id, 'a replica', ({ role }) => role === 'replica');
      });
    },
  },
  {
    id: 'NAT-008',
    level: 4,
    title: 'each end lets go by itself, and the machine stays',
    promise:
      'remove MUST end the replication at its own end whatever the other says, MUST succeed when nothing replicates, and MUST keep the machine.',
    cause: 'the other end is asked first, or "not enabled" is passed on as an error',
    needs,
    run: async (ctx) => {
      await withEnds(ctx, async ({ id, source, replica, other, to }) => {
        await source.enable(id, to, call(ctx));
        for (const time of ['once', 'twice']) {
          for (const end of [replica, source]) {
            await end.remove(id, call(ctx));
            const { role } = await statusOf(ctx, end, id);
            assert.equal(role, 'none', `removed ${time}, the end is ${role}`);
          }
        }
        await ctx.session.inventory.getMachine(id, ctx.call());
        await other.inventory.getMachine(id, ctx.call());
      });
    },
  },
  {
    id: 'NAT-009',
    level: 4,
    title: 'a step that does not fit is refused and changes nothing',
    promise: 'act MUST reject a step that its end does not list as allowed with an error of the contract, and MUST then change nothing.',
    cause: 'the refusal of the vendor is taken for an answer',
    needs,
    run: async (ctx) => {
      await withEnds(ctx, async (ends) => {
        const { id, source, replica } = ends;
        await replicating(ctx, ends);
        const refused: readonly (readonly [NativePair, NativeStep])[] = [
          [replica, { do: 'commit' }],
          [replica, { do: 'endTest' }],
          [source, { do: 'failover', nics: NICS }],
        ];
        for (const [end, step] of refused) {
          const before = await statusOf(ctx, end, id);
          assert.ok(!before.allowed.includes(step.do), `${step.do} is allowed in state ${before.vendorState} of a ${before.role}`);
          await assertRefused(`${step.do} in state ${before.vendorState} of a ${before.role}`, () => act(ctx, end, id, step));
          const after = await statusOf(ctx, end, id);
          assert.deepEqual(
            [after.role, after.vendorState],
            [before.role, before.vendorState],
            `a refused ${step.do} left the end ${after.vendorState}`,
          );
        }
      });
    },
  },
  {
    id: 'NAT-010',
    level: 4,
    title: 'pause and resume are seen',
    promise: 'pause MUST lead the source to a state that observe gives as Suspended, and resume back to Replicating.',
    cause: 'the state is cached',
    needs,
    run: async (ctx) => {
      await withEnds(ctx, async (ends) => {
        const { id, source } = ends;
        await replicating(ctx, ends);
        await act(ctx, source, id, { do: 'pause' });
        await until(ctx, source, id, 'Suspended', ({ vendorState }) => vendorState === 'Suspended');
        await act(ctx, source, id, { do: 'resume' });

        await until(ctx, source, id, 'Replicating', ({ vendorState }) => vendorState === 'Replicating');
      });
    },
  },
];
