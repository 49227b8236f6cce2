// Files over HTTP: of datastores (`/folder/…`) and of leases (`/nfc/…`). Disks travel raw, as long as they are: a real lease carries them
// as streamOptimized VMDK, which is a matter of packing only.
import type { WireAnswer, WireRequest } from '../../vsphere/port.ts';
import { isZero, type Volume } from '../volume.ts';
import { filePath, isThere } from './datastore.ts';
import { answer, HttpError, nothing } from './http.ts';
import { assertUnheld } from './locks.ts';
import type { LeaseRecord, VimContext } from './model.ts';
import { vcenterOf } from './vms.ts';

const PIECE_BYTES = 1 << 20;
const BLOCK_BYTES = 65_536;

export const handleFile = (context: VimContext, request: WireRequest): WireAnswer => {
  const url = new URL(request.url, 'https://vcenter');
  const parts = url.pathname.split('/').slice(1).map(decodeURIComponent);
  if (parts[0] === 'nfc') return leaseFile(context, request, parts);
  if (parts[0] === 'folder')
    return datastoreFile(context, request, { inside: parts.slice(1).join('/'), datastore: url.searchParams.get('dsName') ?? '' });
  throw new HttpError(404, 'not found');
};

const leaseFile = (context: VimContext, request: WireRequest, [, id, name]: readonly string[]): WireAnswer => {
  const lease = vcenterOf(context.endpoint).leases.find((one) => one.id === id);
  const disk = lease?.disks.find((_, index) => name === `disk-${index}.vmdk`);
  if (!lease || !disk || lease.state !== 'ready' || !context.estate.layers.has(disk.layer)) throw new HttpError(404, 'no such lease');
  assertDirection(lease, request);
  const { volume } = context.estate.layer(disk.layer);
  return request.method === 'PUT' ? put(context, volume, request) : get(volume, request);
};

const assertDirection = ({ mode }: LeaseRecord, { method }: WireRequest): void => {
  if ((mode === 'import') !== (method === 'PUT')) throw new HttpError(405, `a lease for ${mode} does not take ${method}`);
};

interface Wanted {
  readonly inside: string;
  readonly datastore: string;
}

const datastoreFile = (context: VimContext, request: WireRequest, { inside, datastore }: Wanted): WireAnswer => {
  const { estate, endpoint } = context;
  const storage = endpoint.places.find((place) => place.kind === 'storage' && place.name === datastore);
  if (!storage) throw new HttpError(404, `no datastore ${datastore}`);
  const { files } = vcenterOf(endpoint);
  const path = filePath(storage, inside);
  const content = files[path.replace(/-flat\.vmdk$/, '.vmdk')]?.layer;
  if (path.endsWith('-flat.vmdk') && content !== undefined && !estate.layer(content).volume.parent) {
    // Recent hosts lock the whole chain of a running machine, the files under a snapshot too (vatesfr/xen-orchestra#7487).
    assertUnheld(context, [content]);
    const { volume } = estate.layer(content);
    return request.method === 'PUT' ? put(context, volume, request) : get(volume, request);
  }
  if (request.method === 'PUT') return putText(context, path, request);
  const file = files[path];
  if (!file || !isThere(file)) throw new HttpError(404, `no file ${path}`);
  const text = file.layer === undefined ? file.text! : descriptor(estate.layer(file.layer).volume, inside);
  return request.method === 'HEAD'
    ? { ...answer(200, '', 'text/plain'), headers: { 'content-length': String(text.length) } }
    : answer(200, text, 'text/plain');
};

const descriptor = ({ sizeBytes }: Volume, inside: string): string =>
  [
    '# Disk DescriptorFile',
    'version=4',
    'createType="vmfs"',
    '# Extent description',
    `RW ${sizeBytes / 512} VMFS "${inside.replace(/^.*\//, '').replace(/\.vmdk$/, '-flat.vmdk')}"`,
    '',
  ].join('\n');

/** One range; a list of ranges is answered with the whole, as RFC 9110 allows. */
const rangeOf = (header: string | undefined, sizeBytes: number): { from: number; to: number } | undefined | 'none' => {
  const match = /^bytes=(\d*)-(\d*)$/.exec(header ?? '');
  if (!match || (match[1] === '' && match[2] === '')) return undefined;
  const from = match[1] === '' ? Math.max(0, sizeBytes - Number(match[2])) : Number(match[1]);
  const to = match[1] === '' || match[2] === '' ? sizeBytes - 1 : Math.min(Number(match[2]), sizeBytes - 1);
  return from >= sizeBytes || to < from ? 'none' : { from, to };
};

const get = (volume: Volume, { method, headers }: WireRequest): WireAnswer => {
  const { sizeBytes } = volume;
  const range = rangeOf(headers['range'] ?? headers['Range'], sizeBytes);
  if (range === 'none') return { status: 416, headers: { 'content-range': `bytes */${sizeBytes}` }, setCookies: [], body: nothing() };
  const { from, to } = range ?? { from: 0, to: sizeBytes - 1 };
  return {
    status: range ? 206 : 200,
    headers: {
      'content-type': 'application/octet-stream',
      'accept-ranges': 'bytes',
      'content-length': String(to - from + 1),
      ...(range ? { 'content-range': `bytes ${from}-${to}/${sizeBytes}` } : {}),
    },
    setCookies: [],
    body: method === 'HEAD' ? nothing() : content(volume, from, to + 1),
  };
};

async function* content(volume: Volume, from: number, end: number): AsyncGenerator<Uint8Array> {
  for (let at = from; at < end; at += PIECE_BYTES) {
    const piece = new Uint8Array(Math.min(PIECE_BYTES, end - at));
    volume.read(at, piece);
    yield piece;
  }
}

/** Whole files only: what a part with Content-Range does is to make the file that part. */
const put = (context: VimContext, volume: Volume, request: WireRequest): WireAnswer => {
  const data = bytesOf(request);
  if (data.length > volume.sizeBytes) throw new HttpError(500, `${data.length} bytes do not fit into ${volume.sizeBytes}`);
  for (let at = 0; at < data.length; at += BLOCK_BYTES) {
    const block = data.subarray(at, at + BLOCK_BYTES);
    if (isZero(block)) volume.writeZeroes(at, block.length);
    else volume.write(at, block);
  }
  volume.writeZeroes(data.length, volume.sizeBytes - data.length);
  context.estate.revision++;
  return answer(201, '', 'text/plain');
};

const putText = (context: VimContext, path: string, request: WireRequest): WireAnswer => {
  if (path.endsWith('.vmdk')) throw new HttpError(500, `${path} is no whole virtual disk`);
  vcenterOf(context.endpoint).files[path] = { text: Buffer.from(bytesOf(request)).toString('utf8') };
  context.estate.revision++;
  return answer(201, '', 'text/plain');
};

const bytesOf = ({ body = '' }: WireRequest): Uint8Array => (typeof body === 'string' ? Buffer.from(body) : body);
