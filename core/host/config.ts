import { type ConfigField, DrError, type Manifest } from '../contract/index.ts';
import { normalPin } from './pin.ts';
import type { Secret } from './secret.ts';
import { parseSecretReference, type ResolveSecret, type SecretReference } from './secrets.ts';
import { suggest } from './suggest.ts';

/** What an endpoint is, as the state store keeps it: secret fields hold references. */
export interface EndpointConfig {
  readonly id: string;
  /** Id of the plugin that speaks to it. */
  readonly plugin: string;
  readonly config: Readonly<Record<string, unknown>>;
}

/** A configuration that fits its manifest, with defaults filled in. Secrets are references still. */
export interface CheckedConfig {
  readonly plain: Readonly<Record<string, string | number | boolean>>;
  readonly secrets: Readonly<Record<string, SecretReference>>;
}

/** No value of a configuration goes into an error: people do put a password into the wrong field. */
const invalid = (endpoint: EndpointConfig, key: string, fault: string, hint?: string): DrError =>
  new DrError('CONFIG_INVALID', `endpoint ${endpoint.id}: ${key} ${fault}`, {
    ...(hint === undefined ? {} : { hint }),
    context: { endpoint: endpoint.id, plugin: endpoint.plugin, key },
  });

const hasType = (field: ConfigField, value: unknown): value is string | number | boolean => {
  if (field.type === 'number') return typeof value === 'number' && Number.isFinite(value);
  if (field.type === 'boolean') return typeof value === 'boolean';
  return typeof value === 'string';
};

const checkPin = (endpoint: EndpointConfig, field: ConfigField, value: unknown): string => {
  const pin = typeof value === 'string' ? normalPin(value) : undefined;
  if (pin !== undefined) return pin;
  throw invalid(endpoint, field.name, 'is no SHA-256 fingerprint', 'write its 64 hex digits, or SHA256: and base64 as OpenSSH does');
};

const checkPlain = (endpoint: EndpointConfig, field: ConfigField, value: unknown): string | number | boolean => {
  if (field.type === 'pin') return checkPin(endpoint, field, value);
  if (!hasType(field, value))
    throw invalid(endpoint, field.name, `must be a ${field.type === 'choice' ? 'string' : field.type}`, field.help);
  if (field.required === true && value === '') throw invalid(endpoint, field.name, 'is empty', field.help);
  if (field.type === 'choice' && !field.choices?.includes(String(value))) {
    throw invalid(endpoint, field.name, `must be one of ${field.choices?.join(', ')}`);
  }
  return value;
};

const checkSecret = (endpoint: EndpointConfig, field: ConfigField, value: unknown): SecretReference => {
  const reference = parseSecretReference(value);
  if (reference !== undefined) return reference;
  throw invalid(
    endpoint,
    field.name,
    'must refer to a secret, not hold it',
    'give one of { env: NAME }, { file: PATH }, { exec: [PROGRAM, ARGUMENT, …] }, { credential: NAME }',
  );
};

const refuseUnknownKeys = (manifest: Manifest, endpoint: EndpointConfig): void => {
  const known = manifest.config.map((field) => field.name);
  const unknown = Object.keys(endpoint.config).find((key) => !known.includes(key));
  if (unknown === undefined) return;
  const meant = suggest(unknown, known);
  const hint = known.length === 0 ? `plugin ${manifest.id} takes no configuration` : `plugin ${manifest.id} takes: ${known.join(', ')}`;
  throw invalid(
    endpoint,
    unknown,
    `is not a setting of plugin ${manifest.id}${meant === undefined ? '' : `; did you mean ${meant}?`}`,
    hint,
  );
};

/** Throws CONFIG_INVALID naming the first key that does not fit. */
export const checkConfig = (manifest: Manifest, endpoint: EndpointConfig): CheckedConfig => {
  refuseUnknownKeys(manifest, endpoint);
  const plain: Record<string, string | number | boolean> = {};
  const secrets: Record<string, SecretReference> = {};
  for (const field of manifest.config) {
    const value = endpoint.config[field.name] ?? field.default;
    if (value === undefined) {
      if (field.required === true) throw invalid(endpoint, field.name, 'is missing', field.help);
    } else if (field.type === 'secret') secrets[field.name] = checkSecret(endpoint, field, value);
    else plain[field.name] = checkPlain(endpoint, field, value);
  }
  return { plain, secrets };
};

/** What the plugin gets at connect, and the secrets in it, to be masked in everything that it says. */
export const revealConfig = async (
  checked: CheckedConfig,
  resolveSecret: ResolveSecret,
): Promise<{ readonly config: Readonly<Record<string, unknown>>; readonly secrets: readonly Secret[] }> => {
  const resolved = await Promise.all(
    Object.entries(checked.secrets).map(async ([name, reference]) => [name, await resolveSecret(reference)] as const),
  );
  const revealed = Object.fromEntries(resolved.map(([name, secret]) => [name, secret.reveal()]));
  return { config: { ...checked.plain, ...revealed }, secrets: resolved.map(([, secret]) => secret) };
};
