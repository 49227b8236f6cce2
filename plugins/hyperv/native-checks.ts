// What is in the way of replication between hosts, told before anything is changed. Decided by HRESULTs, never by what a host says in its language.
import type { PsError, PsRow, Step } from '../../adapters/powershell/port.ts';
import {
  type Call,
  DrError,
  type Finding,
  isDrError,
  type NativeListener,
  type NativePeer,
  type NativeSettings,
} from '../../core/contract/index.ts';
import type { Fabric } from './fabric.ts';
import { flag, list, member, number, text } from './rows.ts';

const blocks = (code: string, message: string, hint: string): Finding => ({ code, level: 'blocks', message, hint });

const FREQUENCIES: readonly number[] = [30, 300, 900];

/** What no host takes (Enable-VMReplication, Windows Server 2016 to 2025). */
export const settingsFindings = ({ frequencySeconds, points, applicationConsistentHours: hours }: NativeSettings): Finding[] => {
  const findings: Finding[] = [];
  const wrong = (message: string, hint: string) => findings.push(blocks('NATIVE_SETTINGS_INVALID', message, hint));
  if (!FREQUENCIES.includes(frequencySeconds))
    wrong(`Hyper-V does not replicate every ${frequencySeconds} s`, 'choose 30, 300 or 900 seconds in the policy');
  if (!isWithin(points, 24)) wrong(`Hyper-V keeps no ${points} recovery points`, 'choose 0 to 24 points in the policy');
  if (!isWithin(hours, 12))
    wrong(`Hyper-V makes no application-consistent points every ${hours} h`, 'choose 1 to 12 hours in the policy, or 0 for none');
  if (hours > 0 && points === 0)
    wrong(
      'application-consistent points need recovery points to be kept',
      'choose 1 to 24 points in the policy, or no application-consistent ones',
    );
  return findings;
};

const isWithin = (value: number, most: number): boolean => Number.isInteger(value) && value >= 0 && value <= most;

// ---- the receiving end -------------------------------------------------------------------------------------------------

const SERVER = [
  'ReplicationEnabled',
  'AllowedAuthenticationType',
  'KerberosAuthenticationPort',
  'CertificateAuthenticationPort',
  'CertificateThumbprint',
  'ReplicationAllowedFromAnyServer',
  'AuthorizationEntries.AllowedPrimaryServer',
] as const;

export const serverStep: Step = { cmdlet: 'Get-VMReplicationServer', params: {}, select: SERVER };

/** By the one port: where both ways are open, Kerberos. */
export const listenerFrom = (address: string, row: PsRow, findings: readonly Finding[]): NativeListener => {
  const allowed = member(row, 'AllowedAuthenticationType');
  const authentication = (['kerberos', 'certificate'] as const).filter((one) => allowed.toLowerCase().includes(one));
  const port = number(row, authentication[0] === 'certificate' ? 'CertificateAuthenticationPort' : 'KerberosAuthenticationPort');
  return { address, port, authentication, findings: [...findings, ...serverFindings(address, row)] };
};

const serverFindings = (address: string, row: PsRow): Finding[] => {
  if (!flag(row, 'ReplicationEnabled')) {
    const hint = 'enable the Replica server in the settings of the host, or in those of the Replica Broker of the cluster';
    return [blocks('NATIVE_SERVER_DISABLED', `${address} takes no replicas`, hint)];
  }
  const nobody = !flag(row, 'ReplicationAllowedFromAnyServer') && list(row, 'AuthorizationEntries.AllowedPrimaryServer').length === 0;
  if (nobody)
    return [
      blocks('NATIVE_NOT_AUTHORIZED', `${address} takes replicas from no server`, 'add the source host to the authorized servers there'),
    ];
  const certificate = member(row, 'AllowedAuthenticationType').includes('Certificate') && text(row, 'CertificateThumbprint') === '';
  return certificate
    ? [
        blocks(
          'NATIVE_CERTIFICATE_MISSING',
          `${address} has no certificate for replication`,
          'choose a certificate in its replication settings',
        ),
      ]
    : [];
};

/** A cluster is reached by its broker, a host by its name. */
export const addressOf = async (fabric: Fabric, host: string, call: Call): Promise<{ address: string; findings: Finding[] }> => {
  if (!fabric.isShared) return { address: fabric.center, findings: [] };
  const groups = await fabric
    .rows(host, [{ cmdlet: 'Get-ClusterGroup', params: {}, select: ['Name', 'GroupType'] }], call)
    .catch((error: unknown): readonly PsRow[] => {
      // Hosts under VMM need not be a cluster.
      if (isDrError(error, 'PROTOCOL_ERROR', 'NOT_FOUND', 'HOST_BUSY')) return [];
      throw error;
    });
  const broker = groups.find((row) => member(row, 'GroupType') === 'VMReplicaBroker');
  if (broker) return { address: text(broker, 'Name'), findings: [] };
  if (groups.length === 0) return { address: host, findings: [] };
  const hint = 'add the role Hyper-V Replica Broker to the cluster';
  return { address: host, findings: [blocks('NATIVE_BROKER_MISSING', `${fabric.center} is a cluster without a Replica Broker`, hint)] };
};

// ---- the connection ----------------------------------------------------------------------------------------------------

const signed = (hresult: number): number => hresult | 0;
const NO_CERTIFICATE = signed(0x80092004); // CRYPT_E_NOT_FOUND

type Obstacle = Pick<Finding, 'code' | 'hint'> & { readonly why: string };

/** Of winerror.h and winhttp.h, as Test-VMReplicationConnection and Enable-VMReplication carry them. */
const OBSTACLES: ReadonlyMap<number, Obstacle> = new Map([
  // ERROR_WINHTTP_NAME_NOT_RESOLVED
  [signed(0x80072ee7), { code: 'NATIVE_NAME_UNKNOWN', why: 'its name is not known', hint: 'correct the DNS of the source host' }],
  // ERROR_WINHTTP_CANNOT_CONNECT
  [
    signed(0x80072efd),
    {
      code: 'NATIVE_NOT_LISTENING',
      why: 'nobody listens there',
      hint: 'enable the Replica server for this authentication and port, and open the port in its firewall',
    },
  ],
  // ERROR_WINHTTP_SECURE_FAILURE
  [
    signed(0x80072f8f),
    {
      code: 'NATIVE_CERTIFICATE_REJECTED',
      why: 'the certificates are not accepted',
      hint: 'renew the certificate of the Replica server, or trust its authority',
    },
  ],
  [
    NO_CERTIFICATE,
    {
      code: 'NATIVE_CERTIFICATE_MISSING',
      why: 'the source host has no such certificate',
      hint: 'install the certificate with its private key on the source host',
    },
  ],
  // ERROR_ACCESS_DENIED
  [
    signed(0x80070005),
    {
      code: 'NATIVE_NOT_AUTHORIZED',
      why: 'it does not take replicas from this host',
      hint: 'add the source host to the authorized servers there',
    },
  ],
]);

export const psErrorOf = (error: unknown): PsError | undefined => {
  const cause = isDrError(error) ? error.cause : undefined;
  return typeof cause === 'object' && cause !== null && 'innerHresult' in cause ? (cause as PsError) : undefined;
};

export const obstacleOf = (error: unknown): Obstacle | undefined => {
  const cause = psErrorOf(error);
  return cause && OBSTACLES.get(cause.innerHresult);
};

export const isWithoutCertificate = (error: unknown): boolean => psErrorOf(error)?.innerHresult === NO_CERTIFICATE;

/** The host's error with our hint: its own are about the management service of one host. */
export const explained = (error: unknown): unknown => {
  const obstacle = obstacleOf(error);
  if (!obstacle || !isDrError(error)) return error;
  return new DrError(error.code, `${error.message} (${obstacle.why})`, { hint: obstacle.hint, context: error.context, cause: error.cause });
};

/** Throws what is none of these. */
export const connectionFinding = (error: unknown, { address, port }: NativePeer): Finding => {
  const obstacle = obstacleOf(error);
  if (obstacle) return blocks(obstacle.code, `the source host cannot replicate to ${address}:${port}: ${obstacle.why}`, obstacle.hint);
  if (!psErrorOf(error)) throw error;
  return blocks(
    'NATIVE_CONNECTION_FAILED',
    `the source host cannot replicate to ${address}:${port} (${(error as Error).message})`,
    'run Test-VMReplicationConnection on the source host, and correct what it names',
  );
};
