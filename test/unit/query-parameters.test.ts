import * as fc from 'fast-check';
import t from 'tap';
import { ApiError } from '#lib/base/errors.js';
import { QueryParameters } from '#lib/http/query-parameters.js';

void t.test('keys are literal (http-api 1.2)', (t) => {
    const query = new QueryParameters('?error=x&tag.foo=b+c%2B&a[b]=1&__proto__=p&empty=');
    t.equal(query.get('error'), undefined);
    t.equal(query.get('?error'), 'x');
    t.same(query.startingWith('tag.'), [['foo', 'b c+']]);
    t.equal(query.get('a[b]'), '1');
    t.equal(query.get('__proto__'), 'p');
    t.equal(query.get('constructor'), undefined);
    t.equal(query.get('empty'), undefined);
    t.equal(query.raw('empty'), '');
    t.ok(query.has('empty'));
    t.end();
});

void t.test('scalars and booleans', (t) => {
    const query = new QueryParameters('a=1&a=2&yes=true&no=false&odd=1&empty=');
    t.throws(() => query.get('a'), { message: 'invalid "a": parameter given multiple times' });
    t.same(query.all('a'), ['1', '2']);
    t.equal(query.boolean('yes'), true);
    t.equal(query.boolean('no'), false);
    t.equal(query.boolean('absent'), undefined);
    t.throws(() => query.boolean('odd'), { message: 'invalid value for "odd" param: "1" is not a boolean' });
    t.throws(() => query.boolean('empty'), {
        message: 'invalid value for "empty" param: "" is not a boolean',
    });
    t.equal(query.boolean('empty', true), undefined);
    t.end();
});

void t.test('any text is taken apart or refused with 422', (t) => {
    fc.assert(
        fc.property(fc.string({ unit: 'binary' }), fc.string(), (search, name) => {
            const query = new QueryParameters(search);
            try {
                query.get(name);
                query.boolean(name);
            } catch (error) {
                return error instanceof ApiError && error.status === 422;
            }
            return true;
        }),
        { numRuns: 2000 },
    );
    t.pass('2000 texts');
    t.end();
});
