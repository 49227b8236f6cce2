import type { Vcenters } from '../vsphere/vcenters.ts';
import { type Handlers, nothing } from './handlers.ts';

type Methods = 'lab.vcenter' | 'lab.setVcenter';

/** Where the simulated vCenters are, and how they behave as servers. */
export const vcenter = (vcenters: Vcenters): Pick<Handlers<'lab'>, Methods> => ({
  'lab.vcenter': (_, args) => vcenters.describe(args.endpoint),
  'lab.setVcenter': async (_, args) => {
    await vcenters.set(args);
    return nothing;
  },
});
