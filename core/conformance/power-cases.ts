import assert from 'node:assert/strict';
import type { MachineId } from '../contract/index.ts';
import type { Case } from './case.ts';
import type { Context } from './context.ts';
import { assertAborted, assertRefused } from './probe.ts';

const powerOf = async (ctx: Context, id: MachineId) => (await ctx.session.inventory.getMachine(id, ctx.call())).power;

/** Sets twice: the second must find it done. */
const setTwice = async (ctx: Context, id: MachineId, to: 'on' | 'off' | 'shutdown', expected: 'on' | 'off') => {
  for (const time of ['once', 'twice']) {
    await ctx.power.set(id, to, await ctx.fenced(id));
    const seen = await powerOf(ctx, id);
    assert.equal(seen, expected, `set to ${to} ${time}, the machine is ${seen}`);
  }
};

export const powerCases: readonly Case[] = [
  {
    id: 'PWR-001',
    level: 2,
    title: 'power on is done when it resolves, and can be repeated',
    promise: 'power.set on MUST resolve when the machine is on, and MUST succeed when it is on already.',
    cause: 'the task is started and not waited for, or "already on" is passed on as an error',
    needs: ['scratch', 'power:on', 'power:off'],
    run: async (ctx) => {
      const { id } = await ctx.machine(0, 'off');
      await setTwice(ctx, id, 'on', 'on');
    },
  },
  {
    id: 'PWR-002',
    level: 2,
    title: 'power off is done when it resolves, and can be repeated',
    promise: 'power.set off MUST resolve when the machine is off, and MUST succeed when it is off already.',
    cause: 'the task is started and not waited for, or "already off" is passed on as an error',
    needs: ['scratch', 'power:off'],
    run: async (ctx) => {
      const { id } = await ctx.machine(0, 'on');
      await setTwice(ctx, id, 'off', 'off');
      await ctx.machine(0, 'on');
    },
  },
  {
    id: 'PWR-003',
    level: 2,
    title: 'shutdown resolves when the guest is down, and can be repeated',
    promise: 'power.set shutdown MUST resolve when the machine is off, and MUST succeed when it is off already.',
    cause: 'the request is sent and not waited for',
    needs: ['scratch', 'power:shutdown'],
    run: async (ctx) => {
      const { id } = await ctx.guest();
      await setTwice(ctx, id, 'shutdown', 'off');
      await ctx.machine(0, 'on');
    },
  },
  {
    id: 'PWR-004',
    level: 2,
    title: 'a guest that refuses to shut down stays on',
    promise: 'power.set shutdown MUST reject with SHUTDOWN_REFUSED at the deadline and MUST NOT turn into off.',
    cause: 'after the time-out the machine is powered off',
    needs: ['scratch', 'power:shutdown', 'lab'],
    run: async (ctx) => {
      const { id } = await ctx.guest();
      await ctx.lab.refuseShutdown(id, true);
      try {
        const call = await ctx.fenced(id, { deadlineMs: ctx.scale.shutdownMs });
        await assertRefused('shutdown of a guest that refuses', () => ctx.power.set(id, 'shutdown', call), 'SHUTDOWN_REFUSED');
        const seen = await powerOf(ctx, id);
        assert.equal(seen, 'on', `after a refused shutdown the machine is ${seen}`);
      } finally {
        await ctx.lab.refuseShutdown(id, false);
      }
    },
  },
  {
    id: 'PWR-005',
    level: 2,
    title: 'waiting for a shutdown ends when it is aborted',
    promise: 'A call that waits MUST reject with the reason of its signal as soon as that aborts, not at its deadline.',
    cause: 'the wait polls without looking at the signal',
    needs: ['scratch', 'power:shutdown', 'lab'],
    run: async (ctx) => {
      const { id } = await ctx.guest();
      await ctx.lab.refuseShutdown(id, true);
      try {
        const { fence } = await ctx.fenced(id);
        const { call, abort } = ctx.abortable({ deadlineMs: ctx.scale.shutdownMs, ...(fence && { fence }) });
        const waiting = ctx.power.set(id, 'shutdown', call);
        abort();
        await assertAborted('shutdown, aborted while it waits,', call, () => waiting);
      } finally {
        await ctx.lab.refuseShutdown(id, false);
      }
    },
  },
  {
    id: 'PWR-006',
    level: 2,
    title: 'power of a machine that does not exist is not found',
    promise: 'power.set MUST reject with NOT_FOUND for an id that no machine has.',
    cause: 'an error of the SDK is passed on',
    needs: ['power', 'scratch'],
    run: async (ctx) => {
      for (const to of ctx.session.capabilities.power) {
        const set = () => ctx.power.set('no-such-machine' as MachineId, to, ctx.call({ fence: ctx.epoch(1) }));
        await assertRefused(`power.set ${to} of an unknown machine`, set, 'NOT_FOUND');
      }
    },
  },
  {
    id: 'PWR-007',
    level: 2,
    title: 'power does not change when the signal has aborted before',
    promise: 'A changing call whose signal has aborted before it begins MUST reject with the reason and MUST have no effect.',
    cause: 'the signal is looked at after the request was sent',
    needs: ['scratch', 'power:off'],
    run: async (ctx) => {
      const { id, power } = await ctx.machine(0, 'on');
      const { fence } = await ctx.fenced(id);
      const { call, abort } = ctx.abortable(fence && { fence });
      abort();

      await assertAborted('power.set off', call, () => ctx.power.set(id, 'off', call));
      const seen = await powerOf(ctx, id);
      assert.equal(seen, power, `an aborted power.set off left the machine ${seen}`);
    },
  },
];
