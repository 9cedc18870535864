import type { AddressInfo, Server } from 'node:net';

/**
 * Has a server listen; resolves to its port.
 *
 * @param onError told of what goes wrong later
 * @throws the system's error, e.g. `EADDRINUSE`
 */
export async function listenOn(
    server: Server,
    port: number,
    address: string,
    onError: (error: Error) => void,
): Promise<number> {
    await new Promise<void>((resolve, reject) => {
        server.once('error', reject);
        server.listen(port, address, () => {
            server.off('error', reject);
            server.on('error', onError);
            resolve();
        });
    });
    return (server.address() as AddressInfo).port;
}
