// A customisation that changes addresses and as little else as vSphere allows (vSphere API reference, CustomizationSpec).
import { isIP } from 'node:net';
import {
  type CustomizationAdapterMapping,
  type CustomizationIdentitySettings,
  type CustomizationIPSettings,
  type CustomizationOptions,
  type CustomizationSpec,
  typed,
} from '../../adapters/vsphere/port.ts';
import { DrError, type GuestAddress } from '../../core/contract/index.ts';

interface Wanted {
  readonly family: 'windows' | 'linux';
  readonly hostName: string;
  /** One for each card, in their order; undefined: DHCP. */
  readonly addresses: readonly (GuestAddress | undefined)[];
}

export const customization = ({ family, hostName, addresses }: Wanted): CustomizationSpec => {
  const [label = '', ...domain] = hostName.split('.');
  const name =
    label
      .replaceAll(/[^A-Za-z0-9-]+/g, '-')
      .replaceAll(/^-+|-+$/g, '')
      .slice(0, family === 'windows' ? 15 : 63) || 'machine';
  const dns = [...new Set(addresses.flatMap((address) => address?.dns ?? []))];
  return {
    identity: family === 'linux' ? linux(name, domain.join('.')) : windows(name),
    ...(family === 'windows'
      ? { options: typed('CustomizationWinOptions', { changeSID: false, deleteAccounts: false }) as CustomizationOptions }
      : {}),
    globalIPSettings: family === 'linux' && dns.length > 0 ? { dnsServerList: dns } : {},
    nicSettingMap: addresses.map(toAdapter),
  };
};

const linux = (name: string, domain: string): CustomizationIdentitySettings =>
  typed('CustomizationLinuxPrep', { hostName: typed('CustomizationFixedName', { name }), domain: domain === '' ? 'localdomain' : domain });

const windows = (name: string): CustomizationIdentitySettings =>
  typed('CustomizationSysprep', {
    guiUnattended: { timeZone: 85, autoLogon: false, autoLogonCount: 0 },
    userData: { fullName: 'Warmsite', orgName: 'Warmsite', computerName: typed('CustomizationFixedName', { name }), productId: '' },
    identification: {},
  });

const toAdapter = (address: GuestAddress | undefined): CustomizationAdapterMapping => ({ adapter: settings(address) });

const settings = (address: GuestAddress | undefined): CustomizationIPSettings => {
  const { ipv4, ipv6, gateway, dns } = address ?? {};
  const v4 = ipv4 === undefined ? undefined : parse(ipv4, 32);
  const gateways = gateway === undefined || gateway.includes(':') ? [] : [gateway];
  return {
    ip: v4 ? typed('CustomizationFixedIp', { ipAddress: v4.address }) : typed('CustomizationDhcpIpGenerator', {}),
    ...(v4 ? { subnetMask: maskOf(v4.bits) } : {}),
    ...(gateways.length > 0 ? { gateway: gateways } : {}),
    ...(ipv6 === undefined ? {} : { ipV6Spec: ipv6Spec(ipv6, gateway) }),
    ...(dns && dns.length > 0 ? { dnsServerList: [...dns] } : {}),
  };
};

const ipv6Spec = (ipv6: string, gateway: string | undefined) => {
  const { address, bits } = parse(ipv6, 128);
  const ip = [typed('CustomizationFixedIpV6', { ipAddress: address, subnetMask: bits })];
  return gateway?.includes(':') ? { ip, gateway: [gateway] } : { ip };
};

const parse = (text: string, most: number): { address: string; bits: number } => {
  const [address = '', bits = ''] = text.split('/');
  const length = bits === '' ? (most === 32 ? 24 : 64) : Number(bits);
  if (isIP(address) === (most === 32 ? 4 : 6) && Number.isInteger(length) && length >= 0 && length <= most)
    return { address, bits: length };
  throw new DrError('CONFIG_INVALID', `${JSON.stringify(text)} is no address with a prefix length`, {
    hint: 'write an address such as 10.1.0.11/24',
  });
};

const maskOf = (bits: number): string => {
  const mask = bits === 0 ? 0 : (0xffffffff << (32 - bits)) >>> 0;
  return [24, 16, 8, 0].map((shift) => (mask >>> shift) & 0xff).join('.');
};
