// First copies that people carry: written to a path at the one end, read from it at the other.
import { recordTruth } from '../../operations/source.ts';
import { HRESULT, invalidState, win32 } from '../failures.ts';
import type { At } from '../model.ts';
import { beginLog, growDisks, planCycle, truthOf } from './cycles.ts';
import { assertMode, assertState, disksOf, dropLayers, freezeDisks, hostAt, makeEqual, otherEnd } from './ends.ts';
import type { Replicated } from './model.ts';
import { keepPoint } from './points.ts';

/** The copy is what the machine is now; what it writes from now on is for the first cycle after the import. */
export const exportCopy = (at: At, machine: Replicated, path: string): void => {
  const { replication } = machine.hv;
  const instantMs = at.estate.timeline.now();
  recordTruth(at.estate, machine, truthOf(machine, instantMs));
  replication.exported = { path: normal(path), instantMs, layers: freezeDisks(at, machine) };
  beginLog(at, machine);
  replication.state = 'WaitingForInitialReplication';
  at.estate.touch(machine);
};

const normal = (path: string): string => path.replace(/\\+$/, '').toLowerCase();

/** A share that both see, or media that somebody has carried: the lab knows it by its path. */
export const importCopy = (at: At, machine: Replicated, path: string): void => {
  assertMode(machine, 'Replica');
  assertState(machine, 'WaitingForInitialReplication', 'ReadyForInitialReplication');
  const source = otherEnd({ on: hostAt(at, machine), machine });
  const { replication } = source.machine.hv;
  const { exported } = replication;
  if (exported?.path !== normal(path)) throw win32(HRESULT.pathNotFound, `No initial replication of '${machine.name}' is at '${path}'`);
  if (replication.state !== 'WaitingForInitialReplication') throw invalidState('The primary does not wait for an import.');
  const disks = new Map(disksOf(at, machine).map((disk) => [disk.drive, disk]));
  for (const [drive, layer] of Object.entries(exported.layers)) {
    const from = at.estate.layer(layer).volume;
    const into = disks.get(drive);
    if (!into) continue;
    growDisks(at, machine, { disks, sizes: { [drive]: from.sizeBytes } });
    makeEqual(from, into.volume);
  }
  for (const end of [machine, source.machine]) {
    Object.assign(end.hv.replication, { state: 'Replicating', replicatedMs: exported.instantMs, lastType: 'Regular' });
    at.estate.touch(end);
  }
  dropLayers(at.estate, Object.values(exported.layers));
  delete replication.exported;
  keepPoint(at, machine, { instantMs: exported.instantMs, application: false });
  planCycle(source.on, source.machine, 0);
};
