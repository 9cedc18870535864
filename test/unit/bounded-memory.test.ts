import t from 'tap';
import { Complaints } from '#lib/base/complaints.js';
import { RecentlyUsed } from '#lib/base/recently-used.js';

void t.test('the values used longest ago go first', async (test) => {
    const kept = new RecentlyUsed<string>(2);
    test.same(kept.set('a', 'A'), []);
    test.same(kept.set('b', 'B'), []);
    test.same(kept.set('a', 'A again'), [], 'the same key takes no more room');
    test.equal(kept.get('b'), 'B', 'a look is no use');
    test.same(kept.set('c', 'C'), ['B']);
    test.equal(kept.get('b'), undefined);
    test.same([...kept.values()], ['A again', 'C']);
});

void t.test('values count what they are said to count', async (test) => {
    const kept = new RecentlyUsed<number>(10, (value) => value);
    kept.set('a', 4);
    kept.set('b', 5);
    test.same(kept.set('c', 2), [4], 'as many go as must');
    test.same(kept.set('b', 8), [], 'a value in the place of a smaller one');
    test.same(kept.set('d', 10), [2, 8]);
    test.same(kept.set('e', 11), [10, 11], 'what has no room at all is not kept');
    kept.set('f', 10);
    kept.delete('f');
    kept.delete('f');
    test.same(kept.set('g', 10), [], 'what is deleted counts no more, and only once');
    kept.clear();
    test.same(kept.set('h', 10), [], 'as after a clearing');
    test.same([...kept.values()], [10]);
});

void t.test('a complaint is made once a minute', async (test) => {
    let now = 1_000_000;
    const complaints = new Complaints({ now: () => now });
    test.ok(complaints.isDue('no answer'));
    now += 59_999;
    test.notOk(complaints.isDue('no answer'));
    test.ok(complaints.isDue('wrong password'), 'another one is another matter');
    test.notOk(complaints.isDue('no answer'), 'and does not make room for the first');
    now += 1;
    test.ok(complaints.isDue('no answer'));
    now -= 60_000;
    test.ok(complaints.isDue('no answer'), 'a clock that was set back silences nothing');
    test.notOk(complaints.isDue('no answer'));
});
