// Replicas, forks.
import { DrError, type ForkId, isDrError, type MachineId, type Placed } from '../../../../core/contract/index.ts';
import { broken, deaf, lying, restream, turn, type Variant } from './variant.ts';

/** Deletes what is there, and says so when it is not. */
const onceOnly = <T extends string, A extends readonly unknown[]>(
  good: (id: T, ...rest: A) => Promise<void>,
): ((id: T, ...rest: A) => Promise<void>) => {
  const gone = new Set<string>();
  return async (id, ...rest) => {
    const what = [id, ...rest.filter((part) => typeof part === 'string')].join('/');
    if (gone.has(what)) throw new DrError('NOT_FOUND', `no ${what}`);
    await good(id, ...rest);
    gone.add(what);
  };
};

const firstDiskOnly = (placed: Placed): Placed => {
  const [first] = placed.disks.values();
  return { ...placed, disks: new Map([...placed.disks.keys()].map((disk) => [disk, first!])) };
};

export const targetVariants: readonly Variant[] = [
  broken('all disks of a replica are said to be its first', ['TGT-001', 'TGT-003', 'TGT-011'], () => ({
    target: {
      createReplica: (good) => async (spec, as, call) => {
        const placed = firstDiskOnly(await good(spec, as, call));
        return spec.disks.length > 1 ? placed : { ...placed, disks: new Map() };
      },
      reshapeReplica:
        (good) =>
        async (...args) =>
          firstDiskOnly(await good(...args)),
    },
  })),
  broken('every call makes a replica', ['TGT-002', 'TGT-004'], () => {
    let count = 0;
    return {
      target: {
        createReplica: (good) => (spec, as, call) => {
          count += 1;
          return good(spec, as, { ...call, operationId: `${call.operationId}-${count}` });
        },
      },
    };
  }),
  broken('the networks that were asked for are ignored', ['TGT-003'], () => ({
    target: { createReplica: (good) => (spec, as, call) => good(spec, { ...as, nics: new Map() }, call) },
  })),
  broken('createReplica is deaf to its signal', ['TGT-004'], () => ({
    target: { createReplica: (good) => (spec, as, call) => good(spec, as, deaf(call)) },
  })),
  broken('writes land beside their place', ['TGT-005', 'TGT-007'], () => ({
    disk: { write: (good) => (offset, data, call) => good(Math.max(0, offset - 512), data, call) },
  })),
  broken('zeroes are not written', ['TGT-006'], () => ({ disk: { writeZeroes: () => async () => undefined } })),
  broken('the buffer is written after the write has resolved', ['TGT-007'], () => ({
    disk: {
      write: (good) => async (offset, data, call) => {
        void turn()
          .then(turn)
          .then(() => good(offset, data, call))
          .catch(() => undefined);
      },
    },
  })),
  broken('a write past the end is cut off', ['TGT-008'], () => ({
    disk: {
      write:
        (good) =>
        (...args) =>
          good(...args).catch((error: unknown) => {
            if (!isDrError(error, 'CONTRACT_VIOLATED')) throw error;
          }),
    },
  })),
  broken('a write is deaf to its signal', ['TGT-009'], () => ({
    disk: { write: (good) => (offset, data, call) => good(offset, data, deaf(call)) },
  })),
  broken(
    'an adopted disk is cleared first',
    ['TGT-010'],
    ({ target }) => ({
      target: {
        adoptReplica: (good) => async (id, spec, call) => {
          const placed = await good(id, spec, call);
          for (const disk of placed.disks.values()) {
            await using open = await target!.openReplicaDisk(id, disk, call);
            await open.writeZeroes(0, 65_536, call);
          }
          return placed;
        },
      },
    }),
    'physical',
  ),
  broken('a replica is not reshaped', ['TGT-011'], () => ({
    target: {
      reshapeReplica: (good) => (id, spec, call) =>
        good(id, { ...spec, disks: spec.disks.slice(0, 2).map((disk) => ({ ...disk, sizeBytes: 512 })) }, call),
    },
  })),
  broken('disks that the definition lacks are dropped', ['TGT-012'], ({ target }) => ({
    target: {
      reshapeReplica: (good) => async (id, spec, call) => {
        const placed = await good(id, spec, call);
        const kept = new Set(placed.disks.values());
        for (const { id: disk } of placed.machine.spec.disks) if (!kept.has(disk)) await target!.deleteReplicaDisk(id, disk, call);
        return placed;
      },
    },
  })),
  broken('a replica disk is deleted once only', ['TGT-013'], () => ({ target: { deleteReplicaDisk: onceOnly } })),
  broken('a deleted replica stays', ['TGT-014', 'TGT-001'], () => ({ target: { deleteReplica: () => async () => undefined } })),
  broken('an unknown disk is a conflict', ['TGT-015'], () => ({
    target: {
      openReplicaDisk:
        (good) =>
        (...args) =>
          good(...args).catch((error: unknown) => {
            throw isDrError(error, 'NOT_FOUND')
              ? new DrError('STATE_CONFLICT', 'the operation is not allowed in the current state')
              : error;
          }),
    },
  })),

  broken('a fork names another purpose', ['FRK-001'], () => ({
    forks: {
      create:
        (good) =>
        async (...args) => ({ ...(await good(...args)), purpose: 'failover' }),
    },
  })),
  broken('every call makes a fork', ['FRK-002', 'FRK-009'], () => {
    let count = 0;
    return {
      forks: {
        create: (good) => (replica, as, call) => {
          count += 1;
          return good(replica, as, { ...call, operationId: `${call.operationId}-${count}` });
        },
      },
    };
  }),
  broken('forks are listed from the memory of the session', ['FRK-002'], () => {
    const made = new Set<ForkId>();
    return {
      forks: {
        create:
          (good) =>
          async (...args) => {
            const fork = await good(...args);
            made.add(fork.id);
            return fork;
          },
        list: (good) => (call) => restream(good(call), (all) => all.filter(({ id }) => made.has(id))),
      },
    };
  }),
  broken(
    'what is written to a fork reaches the replica',
    ['FRK-003', 'FRK-004'],
    ({ target }) => {
      const replicas = new Map<
        ForkId,
        { readonly replica: MachineId; readonly disk: Parameters<NonNullable<typeof target>['openReplicaDisk']>[1] }
      >();
      const written = new Map<ForkId, { readonly offset: number; readonly data: Uint8Array }[]>();
      return {
        forks: {
          create: (good) => async (replica, as, call) => {
            const fork = await good(replica, as, call);
            const { spec } = (await target!.reshapeReplica(replica, as.spec, call).catch(() => undefined))?.machine ?? fork.machine;
            replicas.set(fork.id, { replica, disk: spec.disks[0]!.id });
            return fork;
          },
          openDisk: (good) => async (id, disk, call) => {
            const open = await good(id, disk, call);
            return {
              ...open,
              write: async (offset, data, own) => {
                written.set(id, [...(written.get(id) ?? []), { offset, data }]);
                await open.write(offset, data, own);
              },
            };
          },
          discard: (good) => async (id, call) => {
            await good(id, call);
            const under = replicas.get(id);
            if (!under) return;
            await using open = await target!.openReplicaDisk(under.replica, under.disk, call);
            for (const { offset, data } of written.get(id) ?? []) await open.write(offset, data, call);
            replicas.delete(id);
          },
        },
      };
    },
    'vmware',
  ),
  broken('a fork is discarded once only', ['FRK-004'], () => ({ forks: { discard: onceOnly } })),
  broken(
    'promotion drops what the fork has',
    ['FRK-005', 'FRK-006', 'FRK-007', 'FLT-008'],
    ({ target, inventory }) => {
      const replicas = new Map<ForkId, MachineId>();
      return {
        forks: {
          promote: () => async (id, call) => {
            const { forks } = target!;
            for await (const fork of forks!.list(call)) if (fork.id === id) replicas.set(id, fork.replica);
            await forks!.discard(id, call);
            return inventory.getMachine(replicas.get(id)!, call);
          },
        },
      };
    },
    'vmware',
  ),
  broken('a machine is stopped for promotion', ['FRK-006'], ({ power, target }) => ({
    forks: {
      promote: (good) => async (id, call) => {
        for await (const fork of target!.forks!.list(call)) if (fork.id === id) await power!.set(fork.machine.id, 'off', call);
        return good(id, call);
      },
    },
  })),
  broken('a fork is promoted once only', ['FRK-007'], () => {
    const done = new Set<ForkId>();
    return {
      forks: {
        promote: (good) => async (id, call) => {
          if (done.has(id)) throw new DrError('NOT_FOUND', `no fork ${id}`);
          const machine = await good(id, call);
          done.add(id);
          return machine;
        },
      },
    };
  }),
  broken('the disk of a running fork is opened', ['FRK-008'], ({ power, target }) => ({
    forks: {
      openDisk: (good) => async (id, disk, call) => {
        for await (const fork of target!.forks!.list(call)) if (fork.id === id) await power!.set(fork.machine.id, 'off', call);
        return good(id, disk, call);
      },
    },
  })),
  broken('forks.create is deaf to its signal', ['FRK-009'], () => ({
    forks: { create: (good) => (replica, as, call) => good(replica, as, deaf(call)) },
  })),

  lying('a flush does nothing', ['FLT-006'], { method: 'disk.flush', lie: 'noFlush' }),
  broken('a replica is found by the session that made it only', ['FLT-007'], (_, number) => ({
    target: { createReplica: (good) => (spec, as, call) => good(spec, as, { ...call, operationId: `${call.operationId}@${number}` }) },
  })),
  broken('a promotion is known to the session that began it only', ['FLT-008'], (_, number) => ({
    forks: {
      promote: (good) => async (id, call) => {
        if (number > 1) throw new DrError('NOT_FOUND', `no fork ${id}`);
        return good(id, call);
      },
    },
  })),
];
