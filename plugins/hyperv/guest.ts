// What a guest says of itself through its data exchange service (Msvm_KvpExchangeComponent.GuestIntrinsicExchangeItems): instances as text, by name.
import type { PsRow } from '../../adapters/powershell/port.ts';
import type { MachineSpec } from '../../core/contract/index.ts';
import { texts } from './rows.ts';

export interface Guest {
  readonly name: string | undefined;
  readonly guest: MachineSpec['guest'];
}

const SILENT: Guest = { name: undefined, guest: { family: 'other' } };
/** VER_PLATFORM_WIN32_NT. */
const WINDOWS_NT = '2';

/** As distributions call themselves in /etc/os-release. */
const LINUX = /linux|ubuntu|debian|red hat|fedora|centos|suse|rocky|alma|oracle/i;

export const guestOf = (component: PsRow | undefined): Guest => {
  const items = new Map((component ? texts(component, 'GuestIntrinsicExchangeItems') : []).map(itemOf));
  const os = items.get('OSName');
  if (os === undefined || os === '') return SILENT;
  const isWindows = items.get('OSPlatformId') === WINDOWS_NT || /windows/i.test(os);
  const family = isWindows ? 'windows' : LINUX.test(os) ? 'linux' : 'other';
  return { name: items.get('FullyQualifiedDomainName') || undefined, guest: { family, detail: os } };
};

const itemOf = (instance: string): [string, string] => [propertyOf(instance, 'Name'), propertyOf(instance, 'Data')];

const propertyOf = (instance: string, name: string): string => {
  const [, value = ''] = new RegExp(`<PROPERTY NAME="${name}"[^>]*>\\s*<VALUE>([^<]*)</VALUE>`).exec(instance) ?? [];
  return value.replaceAll(/&(lt|gt|quot|apos|amp|#\d+|#x[0-9a-fA-F]+);/g, (_, entity: string) => characterOf(entity));
};

const NAMED: Readonly<Record<string, string>> = { lt: '<', gt: '>', quot: '"', apos: "'", amp: '&' };

const characterOf = (entity: string): string => {
  const named = NAMED[entity];
  if (named !== undefined) return named;
  const code = entity.startsWith('#x') ? Number.parseInt(entity.slice(2), 16) : Number(entity.slice(1));
  return code <= 0x10ffff ? String.fromCodePoint(code) : '';
};
