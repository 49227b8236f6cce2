// A wire that lives in this process, served over HTTPS on 127.0.0.1 for clients that bring their own.
import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { createCertificate, pinOf } from '../../../adapters/lab/vsphere/certificate.ts';
import type { Wire, WireRequest } from '../../../adapters/vsphere/port.ts';

export interface Served extends AsyncDisposable {
  readonly address: string;
  /** SHA-256 of the certificate in hex. */
  readonly pin: string;
}

/** A wire for each connection: where the wire has no answer the connection breaks. */
export const serveHttps = async (open: () => Wire): Promise<Served> => {
  const certificate = createCertificate('a vCenter of the tests', new Date());
  const wires = new Map<Socket, Wire>();
  const server = createServer({ key: certificate.keyPem, cert: certificate.certificatePem, requestTimeout: 0 }, (request, response) => {
    answer(wires.get(request.socket)!, request, response).catch(() => request.socket.destroy());
  });
  server.on('secureConnection', (socket: Socket) => {
    const wire = open();
    wires.set(socket, wire);
    socket.on('error', () => undefined);
    socket.on('close', () => {
      wires.delete(socket);
      void wire[Symbol.asyncDispose]();
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    pin: pinOf(certificate),
    [Symbol.asyncDispose]: async () => {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
};

const answer = async (wire: Wire, request: IncomingMessage, response: ServerResponse): Promise<void> => {
  const gone = new AbortController();
  response.on('close', () => gone.abort(new Error('the client has gone')));
  const parts: Uint8Array[] = [];
  for await (const part of request) parts.push(part as Uint8Array);
  const headers = Object.fromEntries(
    Object.entries(request.headers).flatMap(([name, value]) =>
      OF_THE_HOP.has(name) || value === undefined ? [] : [[name, String(value)]],
    ),
  );
  const method = request.method as WireRequest['method'];
  const body = method === 'POST' || method === 'PUT' ? Buffer.concat(parts) : undefined;
  const { status, setCookies, ...given } = await wire.send({ method, url: request.url ?? '/', headers, body, signal: gone.signal });
  const own = Object.entries(given.headers).filter(([name]) => !OF_THE_HOP.has(name));
  response.writeHead(status, [...own, ...setCookies.map((cookie) => ['set-cookie', cookie])].flat());
  for await (const part of given.body) response.write(part);
  response.end();
};

const OF_THE_HOP = new Set(['connection', 'keep-alive', 'transfer-encoding', 'content-length', 'host', 'date']);
