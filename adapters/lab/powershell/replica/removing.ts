// Remove-VMReplication: at one end; the other stays as it is until somebody removes it there.
import { invalidState } from '../failures.ts';
import type { At } from '../model.ts';
import { endLog } from './cycles.ts';
import { dropLayers, testMachineOf } from './ends.ts';
import { endTest, settle } from './failover.ts';
import type { Replicated } from './model.ts';
import { dropPoints } from './points.ts';

export const removeReplication = (at: At, machine: Replicated): void => {
  const { replication } = machine.hv;
  if (replication.mode === 'TestReplica') throw invalidState(`'${machine.name}' is a test virtual machine: stop the test failover.`);
  if (testMachineOf(at, machine)?.power === 'on') throw invalidState(`The test virtual machine of '${machine.name}' is running.`);
  if (replication.test) endTest(at, machine);
  if (replication.failover) settle(at, machine);
  dropPoints(at, machine, replication.points);
  for (const layers of [replication.whole, replication.transfer?.layers, replication.exported?.layers])
    dropLayers(at.estate, Object.values(layers ?? {}));
  endLog(at, machine);
  delete (machine.hv as { replication?: unknown }).replication;
  at.estate.touch(machine);
};
