// Whether a host takes replicas from another: its settings, and what it answers where they are wrong.
import type { Estate } from '../../estate.ts';
import { member, object, type PsObject, type Shape, span } from '../cells.ts';
import { type Addressed, addressed, brokerName, isClustered } from '../fabric.ts';
import { HRESULT, PsFailure } from '../failures.ts';
import type { Handlers } from '../handlers.ts';
import { nothing, placeOf } from '../handlers.ts';
import type { At, HostRecord, HypervRecord, OnHost } from '../model.ts';
import { volumesOf } from '../paths.ts';
import type { Authentication, AuthorizationEntry, ReplicaServerRecord } from './model.ts';

const DAY_MS = 24 * 3_600_000;
const NINE_MS = 9 * 3_600_000;

/** Unlike a new host, those of the lab are ready to receive. */
export const DEFAULT_SERVER: ReplicaServerRecord = {
  enabled: true,
  authentication: 'Kerberos',
  kerberosPort: 80,
  certificatePort: 443,
  thumbprint: '',
  anyServer: true,
  storage: '',
  entries: [],
  certificates: [],
};

export const serverOf = (hyperv: HypervRecord): ReplicaServerRecord => hyperv.replicaServer ?? DEFAULT_SERVER;

interface OfServer {
  readonly at: At;
  readonly host: HostRecord;
}

const ENTRY: Shape<AuthorizationEntry> = {
  type: 'Microsoft.HyperV.PowerShell.VMReplicationAuthorizationEntry',
  text: ({ primary }) => primary,
  properties: {
    AllowedPrimaryServer: ({ primary }) => primary,
    ReplicaStorageLocation: ({ storage }) => storage,
    TrustGroup: ({ trustGroup }) => trustGroup,
  },
};

const of = ({ at }: OfServer): ReplicaServerRecord => serverOf(at.hyperv);

const SERVER: Shape<OfServer> = {
  type: 'Microsoft.HyperV.PowerShell.VMReplicationServer',
  text: ({ host }) => `VMReplicationServer (ComputerName = '${host.name}')`,
  properties: {
    ComputerName: ({ host }) => host.name,
    ReplicationEnabled: (server) => of(server).enabled,
    AllowedAuthenticationType: (server) => member('RecoveryAuthenticationType', of(server).authentication),
    KerberosAuthenticationPort: (server) => of(server).kerberosPort,
    CertificateAuthenticationPort: (server) => of(server).certificatePort,
    CertificateThumbprint: (server) => of(server).thumbprint,
    ReplicationAllowedFromAnyServer: (server) => of(server).anyServer,
    DefaultStorageLocation: (server) => storageOf(server.at, undefined),
    MonitoringInterval: () => span(DAY_MS),
    MonitoringStartTime: () => span(NINE_MS),
    AuthorizationEntries: (server) => of(server).entries.map((entry) => object(ENTRY, entry)),
  },
};

export const server: Handlers = {
  'Get-VMReplicationServer': (context): readonly PsObject[] => [object(SERVER, { at: placeOf(context), host: context.host })],

  'Test-VMReplicationConnection': (context, args) => {
    connect(context, {
      server: args.text('ReplicaServerName'),
      port: args.number('ReplicaServerPort'),
      authentication: args.text('AuthenticationType') as Authentication,
      thumbprint: args.maybeText('CertificateThumbprint') ?? '',
    });
    return nothing;
  },
};

export const storageOf = (at: At, entry: AuthorizationEntry | undefined): string => {
  const { storage } = serverOf(at.hyperv);
  return (entry?.storage || storage || `${volumesOf(at)[0]?.root}\\Hyper-V Replica`).replace(/\\+$/, '');
};

/** By which name the other end knows this one. */
export const nameOf = (at: At, host: HostRecord): string => (isClustered(at.hyperv) ? brokerName(at) : host.name);

export interface Connecting {
  readonly server: string;
  readonly port: number;
  readonly authentication: Authentication;
  readonly thumbprint: string;
}

export interface Connected extends Addressed {
  /** Where replicas from this primary go. */
  readonly storage: string;
}

const refused = (server: string, hresult: number, why: string): PsFailure =>
  new PsFailure({
    category: 'ResourceUnavailable',
    id: 'OperationFailed',
    message: `Hyper-V failed to establish a connection with the Replica server '${server}': ${why} (0x${(hresult >>> 0).toString(16).toUpperCase()})`,
    innerHresult: hresult,
  });

/** Throws what the host says that cannot replicate there. */
export const connect = (from: OnHost, asked: Connecting): Connected => {
  assertCertificate(from, asked);
  const to = reach(from, asked.server);
  const settings = serverOf(to.hyperv);
  if (!listens(settings, asked)) throw refused(asked.server, HRESULT.cannotConnect, 'a connection could not be established');
  if (asked.authentication === 'Certificate' && !holds(settings.certificates, settings.thumbprint))
    throw refused(asked.server, HRESULT.secureFailure, 'the certificate of the Replica server cannot be used');
  const entry = settings.entries.find(({ primary }) => matches(primary, nameOf(from, from.host)));
  if (!settings.anyServer && !entry) {
    throw new PsFailure({
      category: 'PermissionDenied',
      id: 'AccessDenied',
      message: `The Replica server '${asked.server}' does not accept replication from '${nameOf(from, from.host)}'.`,
      innerHresult: HRESULT.accessDenied,
    });
  }
  return { ...to, storage: storageOf(to, entry) };
};

/** Throws where no packet gets there. */
export const reach = (from: OnHost, name: string): Addressed => {
  const to = find(from.estate, name);
  if (!to) throw refused(name, HRESULT.nameNotResolved, 'the server name could not be resolved');
  if (to.endpoint === from.endpoint) {
    throw new PsFailure({
      category: 'InvalidArgument',
      id: 'InvalidParameter',
      message: `The Replica server '${name}' cannot be the primary server, or a node of its cluster.`,
      innerHresult: HRESULT.invalidParameter,
    });
  }
  if (!isLinked(from, to) || !isServing(from) || !isServing(to))
    throw refused(name, HRESULT.cannotConnect, 'a connection could not be established');
  return to;
};

const find = (estate: Estate, name: string): Addressed | undefined => {
  try {
    return addressed(estate, name);
  } catch {
    // A name that nobody has, and a host without power, are told apart by nobody who only has the name.
    return undefined;
  }
};

const isLinked = (from: OnHost, to: OnHost): boolean => {
  const sites = [from, to].map(({ endpoint, estate }) => estate.sites.get(endpoint.site)!);
  if (sites.some(({ burned }) => burned)) return false;
  return sites[0] === sites[1] || sites.every(({ linkCut }) => !linkCut);
};

/** Whether its management service, which replicates, is there. */
export const isServing = ({ estate, endpoint, host }: OnHost): boolean => {
  if (!host.up || estate.sites.get(endpoint.site)!.burned) return false;
  return host.vmmsStoppedUntilMs === undefined || host.vmmsStoppedUntilMs <= estate.timeline.now();
};

const listens = (settings: ReplicaServerRecord, { authentication, port }: Connecting): boolean => {
  if (!settings.enabled || !settings.authentication.includes(authentication)) return false;
  return port === (authentication === 'Kerberos' ? settings.kerberosPort : settings.certificatePort);
};

const holds = (certificates: readonly string[], thumbprint: string): boolean =>
  thumbprint !== '' && certificates.some((one) => one.toLowerCase() === thumbprint.toLowerCase());

const assertCertificate = ({ hyperv }: At, { authentication, thumbprint }: Connecting): void => {
  if (authentication !== 'Certificate' || holds(serverOf(hyperv).certificates, thumbprint)) return;
  throw new PsFailure({
    category: 'ObjectNotFound',
    id: 'OperationFailed',
    message: `There is no certificate '${thumbprint}' with a private key in the store of this computer.`,
    innerHresult: HRESULT.certificateNotFound,
  });
};

/** `*.domain` stands for each server in it. */
const matches = (entry: string, name: string): boolean => {
  const [pattern, server] = [entry.toLowerCase(), name.toLowerCase()];
  return pattern.startsWith('*.') ? server.endsWith(pattern.slice(1)) : pattern === server || pattern.split('.')[0] === server;
};
