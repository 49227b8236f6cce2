import type { HttpNfcLeaseInfo, MoRef } from '../../vsphere/port.ts';
import type { LeaseRecord } from './model.ts';
import { notFound } from './objects.ts';
import { vcenterOf, type Where } from './vms.ts';

/** The vendor's is five minutes. */
export const LEASE_SECONDS = 300;

export const leaseRef = (id: string): MoRef => ({ type: 'HttpNfcLease', value: id });

export const leaseAt = ({ estate, endpoint }: Where, on: MoRef): LeaseRecord => {
  const lease = vcenterOf(endpoint).leases.find((one) => on.type === 'HttpNfcLease' && one.id === on.value) ?? notFound(on);
  // Its end may have come while the lab itself did not run.
  if (lease.state === 'ready' && lease.expiresAtMs < estate.timeline.now()) {
    lease.state = 'error';
    lease.error = { type: 'Timedout', message: 'Operation timed out.' };
  }
  return lease;
};

export const leaseInfo = ({ estate }: Where, lease: LeaseRecord): HttpNfcLeaseInfo => {
  const sizes = lease.disks.map(({ layer }) => (estate.layers.has(layer) ? estate.layer(layer).volume.sizeBytes : 0));
  return {
    lease: leaseRef(lease.id),
    entity: lease.entity,
    deviceUrl: lease.disks.map(({ key, deviceKey }, index) => ({
      key,
      importKey: `/${lease.entity.value}/${deviceKey}`,
      url: `https://*/nfc/${lease.id}/disk-${index}.vmdk`,
      sslThumbprint: '',
      disk: true,
      targetId: `disk-${index}.vmdk`,
      fileSize: sizes[index]!,
    })),
    totalDiskCapacityInKB: Math.ceil(sizes.reduce((sum, size) => sum + size, 0) / 1024),
    leaseTimeout: LEASE_SECONDS,
  };
};
