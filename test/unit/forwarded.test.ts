import { clientFacts } from '#lib/http/forwarded.js';
import t from 'tap';

await t.test('forwarded headers', async (t) => {
    const trusted = ['127.0.0.1', '::1', '10.0.0.0/8', 'fd00::/8'];
    const of = (address: string | undefined, forwarded?: string, proto?: string, encrypted = false) =>
        clientFacts(trusted, {
            address,
            encrypted,
            headers: {
                ...(forwarded === undefined ? {} : { 'x-forwarded-for': forwarded }),
                ...(proto === undefined ? {} : { 'x-forwarded-proto': proto }),
            },
        });
    const plain = { secure: false };
    t.strictSame(of('127.0.0.1'), plain);
    t.strictSame(of(undefined, '1.2.3.4'), plain);
    t.strictSame(of('8.8.8.8', '1.2.3.4', 'https'), plain, 'not trusted');
    t.strictSame(of('::ffff:127.0.0.1', '1.2.3.4'), { secure: false, clientAddress: '1.2.3.4' });
    t.strictSame(
        of('::1', '1.2.3.4, 5.6.7.8'),
        { secure: false, clientAddress: '5.6.7.8' },
        'the right-most',
    );
    t.strictSame(of('10.1.1.1', '1.2.3.4, 10.9.9.9, fd00::1'), { secure: false, clientAddress: '1.2.3.4' });
    t.strictSame(
        of('127.0.0.1', '10.0.0.1, 10.0.0.2'),
        { secure: false, clientAddress: '10.0.0.1' },
        'all trusted',
    );
    t.strictSame(of('127.0.0.1', '[2001:db8::1]:443'), { secure: false, clientAddress: '2001:db8::1' });
    t.strictSame(of('127.0.0.1', '1.2.3.4:99'), { secure: false, clientAddress: '1.2.3.4' });
    t.strictSame(of('127.0.0.1', '1.2.3.4, junk'), plain, 'nothing behind junk is believed');
    t.strictSame(of('127.0.0.1', '', 'http, https'), { secure: true });
    t.strictSame(of('9.9.9.9', undefined, undefined, true), { secure: true });
});
