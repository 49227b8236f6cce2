import { expect } from 'chai';
import { describe, it } from 'mocha';
import { customization } from '../../../../plugins/vmware/customize.ts';

const of = (more: Partial<Parameters<typeof customization>[0]> = {}) =>
  customization({ family: 'linux', hostName: 'shop-db', addresses: [{ ipv4: '10.1.0.11/20' }], ...more });
const nameOf = (spec: ReturnType<typeof customization>, family: 'linux' | 'windows') => {
  const identity = spec.identity as unknown as {
    hostName?: { name: string };
    userData?: { computerName: { name: string } };
    domain?: string;
  };
  return family === 'linux' ? identity.hostName!.name : identity.userData!.computerName.name;
};

describe('the customisation that changes addresses', () => {
  it('gives a card its address, mask and gateway', () => {
    const { nicSettingMap } = of({ addresses: [{ ipv4: '10.1.0.11/20', gateway: '10.1.0.1', dns: ['10.1.0.2'] }] });

    expect(nicSettingMap).to.deep.equal([
      {
        adapter: {
          ip: { $type: 'CustomizationFixedIp', ipAddress: '10.1.0.11' },
          subnetMask: '255.255.240.0',
          gateway: ['10.1.0.1'],
          dnsServerList: ['10.1.0.2'],
        },
      },
    ]);
  });

  for (const [bits, mask] of [
    [0, '0.0.0.0'],
    [1, '128.0.0.0'],
    [8, '255.0.0.0'],
    [24, '255.255.255.0'],
    [31, '255.255.255.254'],
    [32, '255.255.255.255'],
  ] as const) {
    it(`writes /${bits} as ${mask}`, () => {
      expect(of({ addresses: [{ ipv4: `10.0.0.1/${bits}` }] }).nicSettingMap![0]!.adapter.subnetMask).to.equal(mask);
    });
  }

  it('has as many cards as the machine, those without an address with DHCP', () => {
    const { nicSettingMap } = of({ addresses: [undefined, { ipv4: '10.0.0.1/24' }, { dhcp: true }] });

    expect(nicSettingMap!.map(({ adapter }) => (adapter.ip as { $type?: string }).$type)).to.deep.equal([
      'CustomizationDhcpIpGenerator',
      'CustomizationFixedIp',
      'CustomizationDhcpIpGenerator',
    ]);
  });

  it('gives IPv6 with its prefix, and a gateway to the protocol that it is of', () => {
    const [{ adapter }] = of({ addresses: [{ ipv4: '10.0.0.1/24', ipv6: 'fd00::11/48', gateway: 'fd00::1' }] }).nicSettingMap as [never] &
      {
        adapter: Record<string, unknown>;
      }[];

    expect(adapter).not.to.have.property('gateway');
    expect(adapter['ipV6Spec']).to.deep.equal({
      ip: [{ $type: 'CustomizationFixedIpV6', ipAddress: 'fd00::11', subnetMask: 48 }],
      gateway: ['fd00::1'],
    });
  });

  it('keeps the host name of a Linux guest whole, and its domain', () => {
    const long = 'a-host-name-that-is-longer-than-netbios-allows';
    const spec = of({ hostName: `${long}.shop.example` });

    expect(nameOf(spec, 'linux')).to.equal(long);
    expect((spec.identity as { domain?: string }).domain).to.equal('shop.example');
  });

  it('cuts the name of a Windows guest to the 15 characters of NetBIOS, and leaves its SID and its accounts', () => {
    const spec = of({ family: 'windows', hostName: 'a-host-name-that-is-long' });

    expect(nameOf(spec, 'windows')).to.equal('a-host-name-tha');
    expect(spec.options).to.deep.equal({ $type: 'CustomizationWinOptions', changeSID: false, deleteAccounts: false });
  });

  for (const [asked, made] of [
    ['web (test) $(reboot)', 'web-test-reboot'],
    ['--', 'machine'],
    ['😀', 'machine'],
    ['a"; rm -rf /', 'a-rm--rf'],
  ] as const) {
    it(`makes ${JSON.stringify(asked)} a name that no guest would take for anything else`, () => {
      expect(nameOf(of({ hostName: asked }), 'linux')).to.equal(made);
    });
  }

  it('gives Linux its name servers for the whole guest, each once', () => {
    const addresses = [
      { ipv4: '10.0.0.1/24', dns: ['10.0.0.2', '10.0.0.3'] },
      { ipv4: '10.0.1.1/24', dns: ['10.0.0.2'] },
    ];

    expect(of({ addresses }).globalIPSettings).to.deep.equal({ dnsServerList: ['10.0.0.2', '10.0.0.3'] });
    expect(of({ family: 'windows', addresses }).globalIPSettings).to.deep.equal({});
  });

  for (const bad of ['10.0.0.1/33', '10.0.0/24', '999.1.1.1/24', 'web/24', '/24', 'fd00::1/64', '10.0.0.1/-1', '10.0.0.1/x']) {
    it(`refuses ${bad} as an IPv4 address`, () => {
      expect(() => of({ addresses: [{ ipv4: bad }] })).to.throw(/is no address with a prefix length/);
    });
  }
});
