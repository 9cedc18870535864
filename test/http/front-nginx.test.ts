// nginx in front, with the settings of the guide, which sends files itself (operations 4.5, README table A).
import { chmodSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { FrontServer } from '../helpers/front-server.js';
import { HttpClient } from '../helpers/http-client.js';
import { createImage, gzipFile, md5Base64, PNG, sha1Hex, uploadFile } from '../helpers/images.js';
import { missingPrograms } from '../helpers/programs.js';
import { freePort, LIMIT_MS, ServerProcess } from '../helpers/server-process.js';

t.setTimeout(LIMIT_MS);

/** Where nginx has the images; no client can ask for it. */
const PREFIX = '/imgapi-files/';

function nginxConfig(port: number, serverPort: number, baseDir: string): string {
    return `
${process.getuid?.() === 0 ? 'user root;' : ''}
worker_processes 1;
pid nginx.pid;
events { worker_connections 64; }
http {
    access_log off;
    client_body_temp_path logs/body;
    proxy_temp_path logs/proxy;
    fastcgi_temp_path logs/fastcgi;
    uwsgi_temp_path logs/uwsgi;
    scgi_temp_path logs/scgi;
    server {
        listen 127.0.0.1:${port};
        client_max_body_size 0;
        location / {
            proxy_pass http://127.0.0.1:${serverPort};
            proxy_http_version 1.1;
            proxy_request_buffering off;
            proxy_max_temp_file_size 0;
            proxy_read_timeout 1h;
            proxy_send_timeout 1h;
            proxy_pass_header Server;
            proxy_pass_header Date;
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $remote_addr;
            proxy_set_header X-Forwarded-Proto $scheme;
        }
        location ${PREFIX} {
            internal;
            alias ${join(baseDir, 'images')}/;
            etag off;
            add_header Etag $upstream_http_etag;
            add_header Content-MD5 $upstream_http_content_md5;
            add_header x-request-id $upstream_http_x_request_id;
        }
    }
}
`;
}

await t.test('nginx sends files of local storage itself', { skip: missingPrograms('nginx') }, async (t) => {
    const server = await ServerProcess.start({
        config: { authType: 'none', accelRedirect: { prefix: PREFIX } },
    });
    t.teardown(() => server.stop());
    // nginx reads as the service's group in a real installation.
    chmodSync(server.baseDir, 0o755);
    const port = await freePort();
    const nginx = await FrontServer.nginx(port, nginxConfig(port, server.port, server.baseDir));
    t.teardown(() => nginx.stop());
    const [front, direct] = [new HttpClient(port), new HttpClient(server.port)];
    t.teardown(() => [front, direct].forEach((client) => client.close()));

    const file = gzipFile('sent by somebody else');
    const uuid = await createImage(front);
    await uploadFile(front, uuid, file);
    t.equal(
        (await front.put(`/images/${uuid}/icon`, PNG, { headers: { 'content-type': 'image/png' } })).status,
        200,
    );
    const path = `/images/${uuid}/file`;
    const place = `${PREFIX}${uuid.slice(0, 3)}/${uuid}/`;

    t.ok((await direct.get(path)).body.equals(file), 'a client on this machine is no front server');
    const handed = await direct.get(path, { headers: { 'x-forwarded-for': '192.0.2.1' } });
    t.strictSame([handed.status, handed.body.length], [200, 0]);
    t.equal(handed.header('x-accel-redirect'), `${place}file0`);
    const whole = await front.get(path);
    t.equal(whole.status, 200);
    t.ok(whole.body.equals(file));
    t.equal(whole.header('content-length'), String(file.length));
    for (const [name, value] of [
        ['x-accel-redirect', undefined],
        ['etag', sha1Hex(file)],
        ['content-md5', md5Base64(file)],
        ['content-type', 'application/octet-stream'],
        ['accept-ranges', 'bytes'],
    ] as const) {
        t.equal(whole.header(name), value, name);
    }
    const part = await front.get(path, { headers: { range: 'bytes=3-9' } });
    t.strictSame([part.status, part.body], [206, file.subarray(3, 10)], "ranges are the front server's");
    t.equal(part.header('content-range'), `bytes 3-9/${file.length}`);
    t.equal((await front.get(path, { headers: { 'if-none-match': sha1Hex(file) } })).status, 304);
    t.equal((await front.get(path, { headers: { 'if-match': '"x"' } })).status, 412);
    const matched = await front.get(path, { headers: { 'if-match': `"${sha1Hex(file)}"` } });
    t.strictSame([matched.status, matched.body], [200, file], 'a condition that holds');
    for (const [tag, status] of [
        [sha1Hex(file), 206],
        ['other', 200],
    ] as const) {
        const headers = { range: 'bytes=3-9', 'if-range': `"${tag}"` };
        t.equal((await front.get(path, { headers })).status, status, `If-Range: ${tag}`);
    }
    const head = await front.request('HEAD', path);
    t.strictSame([head.status, head.header('content-length')], [200, String(file.length)]);
    const icon = await front.get(`/images/${uuid}/icon`);
    t.strictSame([icon.body, icon.header('content-type')], [PNG, 'image/png']);
    t.equal((await front.get(`${place}file0`)).status, 404, 'nobody else gets there');

    server.writeConfig({ trustedProxies: ['10.0.0.1'] });
    server.signal('SIGHUP');
    await server.waitForLog(({ msg }) => msg === 'configuration reloaded');
    const own = await front.get(path);
    t.ok(own.body.equals(file), 'who is not trusted gets the bytes');
    t.equal(own.header('x-accel-redirect'), undefined);
});
