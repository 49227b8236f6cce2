// Which client speaks to a vCenter. The default loads nothing of the other one.
import { readFileSync } from 'node:fs';
import { findPackageJSON } from 'node:module';
import { DrError } from '../../core/contract/index.ts';
import type { OpenVsphere, OpenWire } from './port.ts';
import { openVim25 } from './vim25/client.ts';
import { openWire as openHttpsWire } from './wire.ts';

export type VsphereClientName = 'vim25' | 'node-vsphere-soap';

export const createOpenVsphere =
  (openWire: OpenWire = openHttpsWire): ((client: VsphereClientName) => OpenVsphere) =>
  (client) =>
  async (config, options) => {
    if (client === 'vim25') return await openVim25(openWire, config, options);
    assertPackage();
    const { openNodeVsphereSoap } = await import('./node-vsphere-soap/client.ts');
    return await openNodeVsphereSoap(openWire, config, options);
  };

const PACKAGE = 'node-vsphere-soap';
/** The first whose HTTP client can be exchanged. The package itself asks for 0.8.0, which lives on `request`. */
const SOAP_MAJOR = 1;
const INSTALL = `npm install --save-exact ${PACKAGE}@0.0.2-5`;
const OVERRIDES = `"overrides": {"${PACKAGE}": {"soap": "^1.13.0", "lodash": "^4.17.21"}}`;

const assertPackage = (): void => {
  const path = packageOf(PACKAGE, import.meta.url);
  const soap = path === undefined ? undefined : packageOf('soap', path);
  if (path === undefined || soap === undefined) {
    throw new DrError('CONFIG_INVALID', `the package ${PACKAGE} is not installed`, {
      hint: `put ${OVERRIDES} into package.json and run ${INSTALL}, or choose the client vim25`,
      context: { name: PACKAGE },
    });
  }
  const { version } = JSON.parse(readFileSync(soap, 'utf8')) as { readonly version: string };
  if (Number.parseInt(version, 10) >= SOAP_MAJOR) return;
  throw new DrError('CONFIG_INVALID', `the package ${PACKAGE} is installed with soap ${version}, which is too old`, {
    hint: `put ${OVERRIDES} into package.json and run npm install, or choose the client vim25`,
    context: { name: 'soap', version },
  });
};

const packageOf = (name: string, from: string): string | undefined => {
  try {
    return findPackageJSON(name, from);
  } catch {
    return undefined;
  }
};
