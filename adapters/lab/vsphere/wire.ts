// The simulated vCenters without sockets, for tests: the address of an endpoint is its name.
import type { OpenWire } from '../../vsphere/port.ts';
import type { Vcenter } from './vcenter.ts';

/** Each request is a connection of its own, as over HTTP/1.1: what cuts one leaves the others. */
export const openInProcessWire =
  (find: (endpoint: string) => Vcenter): OpenWire =>
  ({ address }) => ({
    send: (request) => find(address).handle(request),
    thumbprintSha1: '',
    [Symbol.asyncDispose]: async () => undefined,
  });
