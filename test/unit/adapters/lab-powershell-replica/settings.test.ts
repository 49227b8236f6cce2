import { expect } from 'chai';
import { describe, it } from 'mocha';
import type { ReplicaServerRecord } from '../../../../adapters/lab/powershell/replica/model.ts';
import type { Argument } from '../../../../adapters/powershell/port.ts';
import { errorOf, MINUTE, Pair, step } from './pair.ts';

const THUMBPRINT = 'A1'.repeat(20);
const CERTIFICATES = { authentication: 'Certificate', certificates: [THUMBPRINT], thumbprint: THUMBPRINT } as const;
const BY_CERTIFICATE = { ReplicaServerPort: 443, AuthenticationType: 'Certificate', CertificateThumbprint: THUMBPRINT };

interface Row {
  readonly what: string;
  readonly server?: Partial<ReplicaServerRecord>;
  readonly own?: Partial<ReplicaServerRecord>;
  readonly params?: Readonly<Record<string, Argument>>;
  readonly category: string;
  readonly innerHresult: number;
  readonly code: string;
}

const WRONG: readonly Row[] = [
  {
    what: 'a name that nobody has',
    params: { ReplicaServerName: 'nobody' },
    category: 'ResourceUnavailable',
    innerHresult: 0x80072ee7,
    code: 'HOST_BUSY',
  },
  { what: 'itself', params: { ReplicaServerName: 'hv-a' }, category: 'InvalidArgument', innerHresult: 0x80070057, code: 'INTERNAL' },
  {
    what: 'a server that takes no replicas',
    server: { enabled: false },
    category: 'ResourceUnavailable',
    innerHresult: 0x80072efd,
    code: 'HOST_BUSY',
  },
  {
    what: 'a port on which nobody listens',
    params: { ReplicaServerPort: 8080 },
    category: 'ResourceUnavailable',
    innerHresult: 0x80072efd,
    code: 'HOST_BUSY',
  },
  {
    what: 'Kerberos where certificates are asked for',
    server: CERTIFICATES,
    category: 'ResourceUnavailable',
    innerHresult: 0x80072efd,
    code: 'HOST_BUSY',
  },
  {
    what: 'a certificate where Kerberos is asked for',
    own: CERTIFICATES,
    params: BY_CERTIFICATE,
    category: 'ResourceUnavailable',
    innerHresult: 0x80072efd,
    code: 'HOST_BUSY',
  },
  {
    what: 'a certificate that the primary has not',
    server: CERTIFICATES,
    params: BY_CERTIFICATE,
    category: 'ObjectNotFound',
    innerHresult: 0x80092004,
    code: 'NOT_FOUND',
  },
  {
    what: 'a listener whose certificate is gone',
    server: { ...CERTIFICATES, certificates: [] },
    own: CERTIFICATES,
    params: BY_CERTIFICATE,
    category: 'ResourceUnavailable',
    innerHresult: 0x80072f8f,
    code: 'HOST_BUSY',
  },
  {
    what: 'a server that does not know the primary',
    server: { anyServer: false },
    category: 'PermissionDenied',
    innerHresult: 0x80070005,
    code: 'PERMISSION_DENIED',
  },
  {
    what: 'a server that knows another primary',
    server: { anyServer: false, entries: [{ primary: 'hv-c', storage: '', trustGroup: 'x' }] },
    category: 'PermissionDenied',
    innerHresult: 0x80070005,
    code: 'PERMISSION_DENIED',
  },
];

const REFUSED: readonly { readonly what: string; readonly params: Readonly<Record<string, Argument>> }[] = [
  { what: 'a frequency of 60 s', params: { ReplicationFrequencySec: 60 } },
  { what: '25 points', params: { RecoveryHistory: 25 } },
  { what: '-1 points', params: { RecoveryHistory: -1 } },
  { what: '13 hours between application-consistent points', params: { RecoveryHistory: 2, VSSSnapshotFrequencyHour: 13 } },
  { what: 'application-consistent points without points', params: { VSSSnapshotFrequencyHour: 1 } },
  { what: 'port 0', params: { ReplicaServerPort: 0 } },
];

describe('settings of replication', () => {
  for (const { what, server, own, params = {}, category, innerHresult, code } of WRONG) {
    it(`say about ${what} what a host says, when they are tried and when they are used`, async () => {
      await using pair = await Pair.open();
      if (server) await pair.lab.control.call('lab.setReplicaServer', { endpoint: 'hv-b', settings: server });
      if (own) await pair.lab.control.call('lab.setReplicaServer', { endpoint: 'hv-a', settings: own });
      const asked = { ReplicaServerName: 'hv-b', ReplicaServerPort: 80, AuthenticationType: 'Kerberos', ...params };

      const tried = await errorOf(pair.run('hv-a', step('Test-VMReplicationConnection', asked)));
      const used = await errorOf(pair.enable(params));

      for (const { error, code: is } of [tried, used]) {
        expect(error).to.deep.include({ category, innerHresult: innerHresult | 0 });
        expect(is).to.equal(code);
      }
      expect(tried.error!.fqid).to.match(/,Microsoft\.HyperV\.PowerShell\.Commands\.TestVMReplicationConnection$/);
      expect(pair.find('hv-b')).to.equal(undefined);
      expect(pair.end('hv-a')).to.equal(undefined);
    });
  }

  for (const { what, params } of REFUSED) {
    it(`are refused with ${what}`, async () => {
      await using pair = await Pair.open();

      const { error } = await errorOf(pair.enable(params));

      expect(error).to.deep.include({ category: 'InvalidArgument' });
      expect(pair.find('hv-b')).to.equal(undefined);
    });
  }

  it('work by certificate, from an authorized server, to its own storage', async () => {
    await using pair = await Pair.open();
    const entries = [{ primary: 'hv-a', storage: 'E:\\from-a', trustGroup: 'shop' }];
    await pair.lab.control.call('lab.setReplicaServer', { endpoint: 'hv-b', settings: { ...CERTIFICATES, anyServer: false, entries } });
    await pair.lab.control.call('lab.setReplicaServer', { endpoint: 'hv-a', settings: CERTIFICATES });

    await pair.replicating(BY_CERTIFICATE);
    const [shown] = (
      await pair.run(
        'hv-b',
        step('Get-VMReplicationServer', {}, [
          'ReplicationEnabled',
          'AllowedAuthenticationType',
          'CertificateAuthenticationPort',
          'CertificateThumbprint',
          'ReplicationAllowedFromAnyServer',
          'AuthorizationEntries.AllowedPrimaryServer',
        ]),
      )
    )[0]!.rows;

    expect(shown).to.deep.equal({
      ReplicationEnabled: true,
      AllowedAuthenticationType: { name: 'Certificate', value: 2 },
      CertificateAuthenticationPort: 443,
      CertificateThumbprint: THUMBPRINT,
      ReplicationAllowedFromAnyServer: false,
      'AuthorizationEntries.AllowedPrimaryServer': ['hv-a'],
    });
    expect(pair.machine('hv-b').hv.drives[0]!.path).to.match(/^E:\\from-a\\/);
    expect(pair.digests('hv-b')).to.deep.equal(pair.digests('hv-a'));
  });

  it('stop replication while they are wrong, and no longer', async () => {
    await using pair = await Pair.open();
    await pair.replicating({ ReplicationFrequencySec: 30 });
    await pair.lab.control.call('lab.setReplicaServer', { endpoint: 'hv-b', settings: { enabled: false } });
    await pair.write('hv-a', 12);
    await pair.pass(5 * MINUTE);
    const during = pair.byte('hv-b');
    await pair.lab.control.call('lab.setReplicaServer', { endpoint: 'hv-b', settings: { enabled: true } });
    await pair.pass(MINUTE);

    expect([during === 12, pair.byte('hv-b'), pair.states()[0]]).to.deep.equal([false, 12, 'Replicating']);
  });

  it('reach the replica once the link is back, and are those of before until then', async () => {
    await using pair = await Pair.open();
    await pair.replicating({ ReplicationFrequencySec: 30 });
    await pair.setLink(false);
    await pair.on('hv-a', 'Set-VMReplication', { ReplicationFrequencySec: 900, RecoveryHistory: 5 });
    const before = [pair.end('hv-a')!.settings, pair.end('hv-b')!.settings].map(({ frequencySec }) => frequencySec);
    await pair.setLink(true);
    await pair.pass(MINUTE);

    expect(before).to.deep.equal([30, 30]);
    for (const side of ['hv-a', 'hv-b'] as const)
      expect(pair.end(side)!.settings).to.deep.include({ frequencySec: 900, recoveryHistory: 5 });
    expect(pair.states()[0]).to.equal('Replicating');
  });
});
