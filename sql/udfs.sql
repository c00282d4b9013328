-- Functions of sqlanon that run in the server, beside the data. Made by `python -m sqlanon.generating` from udfs/; do
-- not change them here. Needs the language plpython3u, which a superuser makes (CREATE EXTENSION plpython3u), and to
-- make them needs a superuser too. All are pure. Nobody may call them until EXECUTE is granted; never to a reader of
-- releases, who could take noise off again if he had the key.
CREATE SCHEMA IF NOT EXISTS sqlanon;

CREATE OR REPLACE FUNCTION sqlanon.sqlanon_uniform(key text, stream text, number bigint)
RETURNS double precision
LANGUAGE plpython3u IMMUTABLE STRICT PARALLEL SAFE SECURITY INVOKER SET search_path = pg_catalog, pg_temp
AS $sqlanon$
if "call" not in SD:
    from functools import lru_cache
    import hashlib
    _LANES = 8
    _UNIT = 2.0 ** (-52)
    @lru_cache(maxsize=64)
    def _hasher(key, stream):
        if not key:
            raise ValueError('draws need a key')
        secret = hashlib.blake2b(key.encode(), digest_size=64, person=b'sqlanon key').digest()
        name = stream.encode()
        return hashlib.blake2b(len(name).to_bytes(8, 'little') + name, key=secret, digest_size=64, person=b'sqlanon draws')
    def _block(key, stream, block):
        hasher = _hasher(key, stream).copy()
        hasher.update(block.to_bytes(8, 'little', signed=True))
        digest = hasher.digest()
        return digest
    def uniform(key, stream, number):
        block, lane = divmod(number, _LANES)
        bits = int.from_bytes(_block(key, stream, block)[8 * lane:8 * lane + 8], 'little')
        return ((bits >> 12) + 0.5) * _UNIT
    SD["call"] = uniform
return SD["call"](key, stream, number)
$sqlanon$;
REVOKE EXECUTE ON FUNCTION sqlanon.sqlanon_uniform(text, text, bigint) FROM PUBLIC;
COMMENT ON FUNCTION sqlanon.sqlanon_uniform(text, text, bigint) IS 'A draw between 0 and 1 for one record of a stream.';

CREATE OR REPLACE FUNCTION sqlanon.sqlanon_normal(key text, stream text, number bigint)
RETURNS double precision
LANGUAGE plpython3u IMMUTABLE STRICT PARALLEL SAFE SECURITY INVOKER SET search_path = pg_catalog, pg_temp
AS $sqlanon$
if "call" not in SD:
    from functools import lru_cache
    from statistics import NormalDist
    import hashlib
    _LANES = 8
    _UNIT = 2.0 ** (-52)
    _STANDARD = NormalDist()
    @lru_cache(maxsize=64)
    def _hasher(key, stream):
        if not key:
            raise ValueError('draws need a key')
        secret = hashlib.blake2b(key.encode(), digest_size=64, person=b'sqlanon key').digest()
        name = stream.encode()
        return hashlib.blake2b(len(name).to_bytes(8, 'little') + name, key=secret, digest_size=64, person=b'sqlanon draws')
    def _block(key, stream, block):
        hasher = _hasher(key, stream).copy()
        hasher.update(block.to_bytes(8, 'little', signed=True))
        digest = hasher.digest()
        return digest
    def uniform(key, stream, number):
        block, lane = divmod(number, _LANES)
        bits = int.from_bytes(_block(key, stream, block)[8 * lane:8 * lane + 8], 'little')
        return ((bits >> 12) + 0.5) * _UNIT
    def normal(key, stream, number):
        return _STANDARD.inv_cdf(uniform(key, stream, number))
    SD["call"] = normal
return SD["call"](key, stream, number)
$sqlanon$;
REVOKE EXECUTE ON FUNCTION sqlanon.sqlanon_normal(text, text, bigint) FROM PUBLIC;
COMMENT ON FUNCTION sqlanon.sqlanon_normal(text, text, bigint) IS 'A draw from the standard normal distribution, by the inverse of its distribution function (Wichura 1988).';

CREATE OR REPLACE FUNCTION sqlanon.sqlanon_mdav(k bigint, points double precision[])
RETURNS bigint[]
LANGUAGE plpython3u IMMUTABLE STRICT PARALLEL SAFE SECURITY INVOKER SET search_path = pg_catalog, pg_temp
AS $sqlanon$
if "call" not in SD:
    import numpy as np
    def mdav(k, points):
        if k < 1:
            raise ValueError('k must be at least 1')
        if not len(points):
            return []
        found = np.array(points, dtype=np.float64).reshape(len(points), -1)
        if not np.isfinite(found).all():
            raise ValueError('coordinates are finite numbers')
        groups = np.zeros(len(found), dtype=np.int64)
        left, number = (np.arange(len(found)), 0)
        while len(left) >= 2 * k:
            seeds = [left[_farthest(found[left], found[left].mean(axis=0))]]
            if len(left) >= 3 * k:
                seeds.append(left[_farthest(found[left], found[seeds[0]])])
            for seed in seeds:
                members = _nearest(found[left], found[seed], k)
                groups[left[members]] = number
                left, number = (np.delete(left, members), number + 1)
        groups[left] = number
        numbers = groups.tolist()
        return numbers
    def _distances(points, to):
        squares = ((points - to) ** 2).sum(axis=1)
        return squares
    def _farthest(points, to):
        return int(np.argmax(_distances(points, to)))
    def _nearest(points, to, many):
        order = np.argsort(_distances(points, to), kind='stable')[:many]
        return order
    SD["call"] = mdav
return SD["call"](k, points)
$sqlanon$;
REVOKE EXECUTE ON FUNCTION sqlanon.sqlanon_mdav(bigint, double precision[]) FROM PUBLIC;
COMMENT ON FUNCTION sqlanon.sqlanon_mdav(bigint, double precision[]) IS 'Group numbers from 0; every group has k to 2k − 1 points, or is the only one.';

CREATE OR REPLACE FUNCTION sqlanon.sqlanon_mean(numbers double precision[])
RETURNS double precision
LANGUAGE plpython3u IMMUTABLE STRICT PARALLEL SAFE SECURITY INVOKER SET search_path = pg_catalog, pg_temp
AS $sqlanon$
if "call" not in SD:
    import math
    def mean(values):
        return math.fsum(values) / len(values) if values else None
    SD["call"] = mean
return SD["call"](numbers)
$sqlanon$;
REVOKE EXECUTE ON FUNCTION sqlanon.sqlanon_mean(double precision[]) FROM PUBLIC;
COMMENT ON FUNCTION sqlanon.sqlanon_mean(double precision[]) IS 'The mean, the same whatever the order: the sum is rounded once. None for no values.';

CREATE OR REPLACE FUNCTION sqlanon.sqlanon_swaps(repair text, k bigint, mu text, of_what text, noise boolean, domain bigint, histogram bytea, implausible bytea)
RETURNS TABLE (action bigint[], class bigint[], value bigint[], records bigint[])
LANGUAGE plpython3u IMMUTABLE STRICT PARALLEL SAFE SECURITY INVOKER SET search_path = pg_catalog, pg_temp
AS $sqlanon$
if "call" not in SD:
    from dataclasses import dataclass
    from dataclasses import field
    from fractions import Fraction
    from itertools import islice
    import numpy as np
    def exact(number):
        return number if isinstance(number, Fraction) else Fraction(str(number))
    def _sums(frequencies):
        size = first = second = 0
        for rank, count in enumerate(sorted(frequencies, reverse=True), start=1):
            size, first, second = (size + count, first + count * rank, second + count * rank * rank)
        return (size, first, second)
    @dataclass(frozen=True)
    class Theta:
        k: 'int'
        mu: 'Fraction'
        of: "Literal['k', 'n']" = 'k'

        def __post_init__(self):
            if self.k < 1:
                raise ValueError('k must be at least 1')
            if not 0 < self.mu <= 1:
                raise ValueError('mu is a share above 0 and at most 1')
            if self.of not in ('k', 'n'):
                raise ValueError('theta is taken for k or for n, the size of the class')

        def bound(self, size):
            n = self.k if self.of == 'k' else size
            return self.mu * (n * n - 1) / 12

        def margin(self, frequencies):
            size, first, second = _sums(frequencies)
            n = self.k if self.of == 'k' else size
            above = 12 * (size * second - first * first) * self.mu.denominator
            return above - self.mu.numerator * (n * n - 1) * size * size if size else -1

        def met(self, frequencies):
            return self.margin(frequencies) >= 0
    def least_noise(frequencies, theta, available):
        for tuples in range(available + 1):
            if theta.met((*frequencies, *(1,) * tuples)):
                return tuples
        return None
    _WORD = 64
    def _rows(rows, width):
        found = list(rows)
        return np.array(found, dtype=np.int64).reshape(len(found), width)
    @dataclass(frozen=True)
    class Histogram:
        classes: 'Ints'
        values: 'Ints'
        counts: 'Ints'
        domain: 'int'

        def __post_init__(self):
            for name in ('classes', 'values', 'counts'):
                object.__setattr__(self, name, np.asarray(getattr(self, name), dtype=np.int64))
            shapes = {self.classes.shape, self.values.shape, self.counts.shape}
            if len(shapes) > 1 or self.classes.ndim != 1:
                raise ValueError('classes, values and counts are of one length')
            if self.classes.size and (self.classes.min() < 0 or self.values.min() < 0 or self.values.max() >= self.domain):
                raise ValueError('classes and values are numbered from 0, and the values are fewer than the domain')
            if np.any(self.counts <= 0):
                raise ValueError('counts are positive')
            order = np.lexsort((self.values, self.classes))
            for name in ('classes', 'values', 'counts'):
                object.__setattr__(self, name, getattr(self, name)[order])
            if np.any((np.diff(self.classes) == 0) & (np.diff(self.values) == 0)):
                raise ValueError('a class and a value occur together once')
            if self.classes.size and (self.classes[0] != 0 or np.any(np.diff(self.classes) > 1)):
                raise ValueError('every class holds at least one record')

        @property
        def size(self):
            return int(self.classes[-1]) + 1 if self.classes.size else 0

        @property
        def totals(self):
            return np.bincount(self.values, self.counts, self.domain).astype(np.int64)

        @property
        def sizes(self):
            return np.bincount(self.classes, self.counts, self.size).astype(np.int64)

        def per_class(self):
            pairs = zip(self.values.tolist(), self.counts.tolist(), strict=True)
            _, entries = np.unique(self.classes, return_counts=True)
            return [dict(islice(pairs, int(many))) for many in entries]

        def below(self, theta):
            return [number for number, counts in enumerate(self.per_class()) if not theta.met(counts.values())]
    @dataclass(frozen=True)
    class Plan:
        exchanges: 'Ints' = field(default_factory=lambda: _rows([], 4))
        noise: 'Ints' = field(default_factory=lambda: _rows([], 3))
        unmet: 'tuple[int, ...]' = ()

        @property
        def swaps(self):
            return len(self.exchanges)

        @property
        def noise_records(self):
            return int(self.noise[:, 2].sum())

        def moves(self):
            c, a, b, v = self.exchanges.T
            pairs = np.concatenate([np.stack(p, axis=1) for p in ((c, a), (b, v), (c, v), (b, a))])
            signs = np.repeat([-1, 1], 2 * len(c))
            unique, at = np.unique(pairs, axis=0, return_inverse=True)
            net = np.bincount(at.ravel(), signs, len(unique)).astype(np.int64)
            changed = np.column_stack([unique, net]) if len(unique) else _rows([], 3)
            leaving, arriving = (changed[net < 0], changed[net > 0])
            leaving[:, 2] *= -1
            return (leaving, arriving)

        def outcome(self, histogram):
            leaving, arriving = self.moves()
            old = np.column_stack([histogram.classes, histogram.values, histogram.counts])
            classes, values, counts = np.concatenate([old, arriving, self.noise, leaving * np.array([1, 1, -1])]).T
            codes, at = np.unique(classes * histogram.domain + values, return_inverse=True)
            summed = np.bincount(at, counts, len(codes)).astype(np.int64)
            if np.any(summed < 0):
                raise ValueError('the plan takes records that the classes do not have')
            kept = codes[summed > 0]
            return Histogram(kept // histogram.domain, kept % histogram.domain, summed[summed > 0], histogram.domain)
    class _Classes:

        def __init__(self, histogram, theta):
            self.theta = theta
            self.counts = histogram.per_class()
            self.size = histogram.size
            totals = histogram.totals
            self.frequent = np.argsort(-totals, kind='stable')
            own = _WORD if histogram.domain <= _WORD else _WORD - 1
            self.bit = np.full(histogram.domain, 1 << _WORD - 1, dtype=np.uint64)
            self.bit[self.frequent[:own]] = np.uint64(1) << np.arange(min(own, histogram.domain), dtype=np.uint64)
            self.shared = np.uint64(0 if own == _WORD else 1 << _WORD - 1)
            starts = np.flatnonzero(np.diff(histogram.classes, prepend=-1))
            bits = self.bit[histogram.values]
            self.bits = np.bitwise_or.reduceat(bits, starts) if len(starts) else bits
            margins = [theta.margin(counts.values()) for counts in self.counts]
            self.met = np.array([margin >= 0 for margin in margins], dtype=bool)
            self.above = np.array([margin > 0 for margin in margins], dtype=bool)
            self.touched = np.zeros(self.size, dtype=np.int64)
            self.exchanges = []
            self.noise = []

        def repeats(self, number):
            counts = self.counts[number]
            return sum(counts.values()) - len(counts)

        def repeated(self, number):
            return sorted((v for v, n in self.counts[number].items() if n > 1), key=lambda v: (-self.counts[number][v], v))

        def offered(self, donor, to, preferred):
            has, lacks = (self.counts[donor], self.counts[to])
            absent = (v for v in has if v not in lacks)
            return min(absent, key=lambda v: (-has[v], preferred.get(v, len(preferred)), v), default=None)

        def exchange(self, number, value, donor, other):
            self.exchanges.append((number, value, donor, other))
            self.touched[[number, donor]] = len(self.exchanges)
            for place, gone, come in ((number, value, other), (donor, other, value)):
                counts = self.counts[place]
                counts[come] = counts.get(come, 0) + 1
                counts[gone] -= 1
                if not counts[gone]:
                    del counts[gone]
                    if self.bit[gone] != self.shared:
                        self.bits[place] &= ~self.bit[gone]
                self.bits[place] |= self.bit[come]
                self._judge(place)

        def _judge(self, number):
            margin = self.theta.margin(self.counts[number].values())
            self.met[number], self.above[number] = (margin >= 0, margin > 0)

        def new_to(self, number, at):
            found = self.bits[at] & (~self.bits[number] | self.shared) != 0
            return found

        def lacking(self, value, at):
            bit = self.bit[value]
            found = self.bits[at] & (bit & ~self.shared) == 0
            return found

        def add_noise(self, number, implausible):
            counts = self.counts[number]
            absent = (int(v) for v in self.frequent if int(v) not in counts and (number, int(v)) not in implausible)
            values = list(islice(absent, self.theta.k + sum(counts.values())))
            needed = least_noise(tuple(counts.values()), self.theta, len(values))
            for value in values[:needed or 0]:
                counts[value] = 1
                self.bits[number] |= self.bit[value]
                self.noise.append((number, value, 1))
            self._judge(number)

        def plan(self):
            unmet = tuple(np.flatnonzero(~self.met).tolist())
            return Plan(_rows(self.exchanges, 4), _rows(self.noise, 3), unmet=unmet)
    def plan_paper(histogram, theta, *, noise=True, preference=(), implausible=frozenset()):
        classes = _Classes(histogram, theta)
        preferred = {value: place for place, value in enumerate(preference)}
        for number in range(classes.size):
            while not classes.met[number]:
                value = next(iter(classes.repeated(number)), None)
                found = _paper_donor(classes, number, value, preferred) if value is not None else None
                if value is None or found is None:
                    break
                classes.exchange(number, value, *found)
            if noise and (not classes.met[number]):
                classes.add_noise(number, implausible)
        return classes.plan()
    def _paper_donor(classes, number, value, preferred):
        last = classes.size - 1
        if number == last:
            allowed = last > 0 and value not in classes.counts[last - 1]
            donors = [last - 1] if allowed else []
        else:
            donors = _ahead(classes, number)
        for donor in donors:
            other = classes.offered(donor, number, preferred)
            if other is not None:
                return (donor, other)
        return None
    def _ahead(classes, number):
        start, width = (number + 1, _WORD)
        while start < classes.size:
            at = slice(start, start + width)
            for offset in np.flatnonzero(classes.above[at] & classes.new_to(number, at)).tolist():
                yield (start + offset)
            start, width = (start + width, width * 4)
    def plan_swap(histogram, theta, *, window=None, noise=False, implausible=frozenset()):
        classes = _Classes(histogram, theta)
        waiting = dict.fromkeys(np.flatnonzero(~classes.met).tolist(), -1)
        before = -1
        while waiting and before != len(classes.exchanges):
            before = len(classes.exchanges)
            for number, since in waiting.items():
                waiting[number] = _repair(classes, number, classes.size if window is None else window, since)
            waiting = {number: since for number, since in waiting.items() if not classes.met[number]}
        for number in waiting if noise else ():
            classes.add_noise(number, implausible)
        return classes.plan()
    def _repair(classes, number, window, since):
        while not classes.met[number]:
            since = -1 if classes.touched[number] > since else since
            asked = ((value, _nearest(classes, number, value, window, since)) for value in classes.repeated(number))
            value, found = next((pair for pair in asked if pair[1]), (0, None))
            if found is None:
                break
            donor, other = found
            repeats = classes.repeats(number) + classes.repeats(donor)
            classes.exchange(number, value, donor, other)
            if classes.repeats(number) + classes.repeats(donor) >= repeats:
                raise AssertionError('an exchange did not lower the repeats, so that the repair might not end')
        return len(classes.exchanges)
    def _nearest(classes, number, value, window, since):
        for some in _rings(classes, number, window, since):
            usable = some[classes.new_to(number, some) & classes.lacking(value, some)]
            for donor in usable[np.argsort(np.abs(usable - number), kind='stable')].tolist():
                other = classes.offered(donor, number, {}) if value not in classes.counts[donor] else None
                if other is not None:
                    return (donor, other)
        return None
    def _rings(classes, number, window, since):
        if since >= 0:
            changed = np.flatnonzero(classes.touched > since)
            yield changed[(np.abs(changed - number) <= window) & (changed != number)]
            return
        inner, outer = (0, min(_WORD, window))
        while inner < outer:
            yield np.concatenate([np.arange(max(number - outer, 0), max(number - inner, 0)), np.arange(number + inner + 1, min(number + outer + 1, classes.size))])
            inner, outer = (outer, min(outer * 4, window))
    LEAVES = 1
    ARRIVES = 2
    NOISE = 3
    UNMET = 4
    SWAPS = 5
    _ROWS = 1 << 16
    def swaps(repair, k, mu, of, noise, domain, histogram, implausible):
        planners = {'swap': plan_swap, 'paper': plan_paper}
        if repair not in planners:
            raise ValueError('repair is swap or paper')
        theta = Theta(k, exact(mu), 'n' if of == 'n' else 'k')
        banned = frozenset(map(tuple, _together(implausible, 2).tolist()))
        classes, values, counts = _together(histogram, 3).T
        plan = planners[repair](Histogram(classes, values, counts, domain), theta, noise=noise, implausible=banned)
        leaving, arriving = plan.moves()
        alone = np.repeat(plan.noise * np.array([1, 1, 0]) + np.array([0, 0, 1]), plan.noise[:, 2], axis=0)
        unmet = np.array([[number, 0, 0] for number in plan.unmet], dtype=np.int64).reshape(-1, 3)
        told = (leaving, arriving, alone, unmet, np.array([[0, 0, plan.swaps]]))
        actions = np.repeat(np.array([LEAVES, ARRIVES, NOISE, UNMET, SWAPS]), [len(rows) for rows in told])
        return (actions, *np.ascontiguousarray(np.concatenate(told).T))
    def packed_swaps(repair, k, mu, of, noise, domain, histogram, implausible):
        found = swaps(repair, k, mu, of, noise, domain, [_unpacked(histogram, 3)], [_unpacked(implausible, 2)])
        return _listed(found)
    def _unpacked(rows, columns):
        if len(rows) % (8 * columns):
            raise ValueError('a row has eight bytes for each of its numbers')
        return np.frombuffer(rows, dtype='>i8').reshape(-1, columns).astype(np.int64)
    def _together(stream, columns):
        return np.concatenate([np.empty((0, columns), dtype=np.int64), *stream])
    def _listed(columns):
        for start in range(0, len(columns[0]), _ROWS):
            yield tuple((column[start:start + _ROWS].tolist() for column in columns))
    SD["call"] = packed_swaps
return SD["call"](repair, k, mu, of_what, noise, domain, histogram, implausible)
$sqlanon$;
REVOKE EXECUTE ON FUNCTION sqlanon.sqlanon_swaps(text, bigint, text, text, boolean, bigint, bytea, bytea) FROM PUBLIC;
COMMENT ON FUNCTION sqlanon.sqlanon_swaps(text, bigint, text, text, boolean, bigint, bytea, bytea) IS 'What lifts the classes of a histogram to θ: action, class, value and records.';

CREATE OR REPLACE FUNCTION sqlanon.sqlanon_groups(k bigint, span bigint, weights bigint[], whole boolean[], by_person boolean, ordered bytea)
RETURNS TABLE (at bigint[], class bigint[], records bigint[])
LANGUAGE plpython3u IMMUTABLE STRICT PARALLEL SAFE SECURITY INVOKER SET search_path = pg_catalog, pg_temp
AS $sqlanon$
if "call" not in SD:
    from dataclasses import dataclass
    from dataclasses import field
    from itertools import chain
    import numpy as np
    _NEVER = 1 << 61
    _CELLS = 2000000
    @dataclass(frozen=True)
    class Block:
        places: 'Ints'
        records: 'Ints'
        persons: 'Ints | None' = None
    @dataclass(frozen=True)
    class Loss:
        span: 'int'
        weights: 'tuple[int, ...]'
        whole: 'tuple[bool, ...]'
    @dataclass(frozen=True)
    class Pieces:
        rows: 'Ints'
        groups: 'Ints'
        records: 'Ints'
    def best(blocks, k, loss):
        if k < 1:
            raise ValueError('k must be at least 1')
        stream = iter(blocks)
        first = next(stream, None)
        if first is None:
            raise ValueError('the sequence is empty')
        rows = _Divisible(k) if first.persons is None else _Whole()
        lengths = np.concatenate(list(_forward(rows.units(chain([first], stream)), k, loss)) or [np.empty(0, np.int64)])
        return rows.pieces(_starts(lengths, k))
    def _starts(lengths, k):
        at = len(lengths)
        if at < k:
            raise ValueError('fewer than k persons stand in the sequence')
        starts = []
        while at > 0:
            at -= int(lengths[at - 1])
            starts.append(at)
        return np.array(starts[::-1], dtype=np.int64)
    @dataclass(frozen=True)
    class _Units:
        low: 'Ints'
        high: 'Ints'
        records: 'Ints'

        def __len__(self):
            return len(self.records)

        def __getitem__(self, part):
            return _Units(self.low[part], self.high[part], self.records[part])

        def then(self, other):
            pairs = ((self.low, other.low), (self.high, other.high), (self.records, other.records))
            return _Units(*(np.concatenate(pair) for pair in pairs))
    @dataclass
    class _Divisible:
        k: 'int'
        copies: 'list[Ints]' = field(default_factory=list)
        records: 'list[Ints]' = field(default_factory=list)

        def units(self, blocks):
            for block in blocks:
                copies = np.minimum(block.records, 3 * self.k - 2)
                self.copies.append(copies)
                self.records.append(block.records)
                places = np.repeat(block.places, copies, axis=0)
                yield _Units(places, places, np.ones(len(places), dtype=np.int64))

        def pieces(self, starts):
            copies, records = (np.concatenate(self.copies), np.concatenate(self.records))
            ends = np.cumsum(copies)
            begins = ends - copies
            points = np.union1d(begins, starts)
            rows, groups = (np.searchsorted(of, points, side='right') - 1 for of in (begins, starts))
            lengths = np.diff(points, append=ends[-1])
            last = np.append(starts[1:], ends[-1])
            inner = (starts[groups] >= begins[rows]) & (last[groups] <= ends[rows])
            heads = np.flatnonzero(~(inner & np.roll(inner, 1) & (rows == np.roll(rows, 1))) | (points == 0))
            lengths = np.add.reduceat(lengths, heads)
            rows, groups, inner = (rows[heads], groups[heads], inner[heads])
            lengths[inner] += (records - copies)[rows[inner]]
            return Pieces(rows, groups, lengths)
    @dataclass
    class _Whole:
        persons: 'list[Ints]' = field(default_factory=list)
        records: 'list[Ints]' = field(default_factory=list)

        def units(self, blocks):
            held = None
            begun = False
            for block in blocks:
                counted = block.persons if block.persons is not None else np.ones(len(block.records), dtype=np.int64)
                self.persons.append(counted)
                self.records.append(block.records)
                starts, rows = (np.flatnonzero(counted), _Units(block.places, block.places, block.records))
                if held is not None:
                    starts, rows = (starts + len(held), held.then(rows))
                starts = np.append(0, starts) if begun else np.append(0, starts[1:]) if len(starts) else starts
                if not len(starts):
                    held = rows
                    continue
                begun = True
                low, high = (np.minimum.reduceat(rows.low, starts), np.maximum.reduceat(rows.high, starts))
                found = _Units(low, high, np.add.reduceat(rows.records, starts))
                yield found[:-1]
                held = found[-1:]
            if held is not None and begun:
                yield held

        def pieces(self, starts):
            units = np.maximum(np.cumsum(np.concatenate(self.persons)) - 1, 0)
            groups = np.searchsorted(starts, units, side='right') - 1
            return Pieces(np.arange(len(units)), groups, np.concatenate(self.records))
    def _forward(units, k, loss):
        size = max(k, min(1 << 16, _CELLS // k))
        before = None
        costs = np.full(2 * k - 1, _NEVER, dtype=np.int64)
        costs[-1] = 0
        for block in units:
            for at in range(0, len(block), size):
                part = block[at:at + size]
                known = part if before is None else before.then(part)
                lengths, costs = _cut(costs, _runs(known, len(part), k, loss), k)
                before = known[max(len(known) - (2 * k - 2), 0):] if k > 1 else known[:0]
                yield lengths
    def _cut(before, runs, k):
        count = len(runs)
        costs = np.concatenate([before, np.empty(count, dtype=np.int64)])
        step = costs.strides[0]
        earlier = np.lib.stride_tricks.as_strided(costs[k - 1:], shape=(count, k), strides=(step, -step))
        lengths = np.empty(count, dtype=np.int64)
        for at in range(0, count, k):
            some = earlier[at:at + k] + runs[at:at + k]
            lengths[at:at + k] = some.argmin(axis=1)
            costs[2 * k - 1 + at:2 * k - 1 + at + k] = np.minimum(some.min(axis=1), _NEVER)
        left = costs[count:]
        return (lengths + k, np.where(left < _NEVER, left - left.min(), _NEVER))
    def _runs(units, count, k, loss):
        every = len(units)
        history = every - count
        widths = np.zeros((k, count), dtype=np.int64)
        for column, (weight, whole) in enumerate(zip(loss.weights, loss.whole, strict=True)):
            low, high = _small(units.low[:, column], units.high[:, column])
            top, bottom, length = (high, low, 1)
            while length < min(k, every):
                more = min(length, min(k, every) - length)
                top = np.maximum(top[:-more], top[more:])
                bottom = np.minimum(bottom[:-more], bottom[more:])
                length += more
            for row in range(k):
                if k + row > every:
                    break
                first = max(history, k + row - 1)
                width = (top - bottom)[first - (k + row - 1):].astype(np.int64)
                width = np.where(width > 0, loss.span, 0) if whole else np.minimum(width, loss.span)
                widths[row, first - history:] += width * weight
                top = np.maximum(top[:-1], high[k + row:])
                bottom = np.minimum(bottom[:-1], low[k + row:])
        so_far = np.concatenate([[0], np.cumsum(units.records)])
        costs = np.full((k, count), _NEVER, dtype=np.int64)
        for row in range(min(k, every - k + 1)):
            first = max(history, k + row - 1)
            records = so_far[first + 1:] - so_far[first - (k + row - 1):every - (k + row - 1)]
            costs[row, first - history:] = widths[row, first - history:] * records
        return np.ascontiguousarray(costs.T)
    def _small(low, high):
        if not len(low):
            return (low, high)
        least = low.min()
        low, high = (low - least, high - least)
        return (low.astype(np.int32), high.astype(np.int32)) if int(high.max()) < 1 << 31 else (low, high)
    _ROWS = 1 << 16
    def cut(k, span, weights, whole, by_person, rows):
        columns = len(weights)
        if len(whole) != columns:
            raise ValueError('every column has a weight, and is whole or not')
        blocks = (Block(b[:, 2:], np.ascontiguousarray(b[:, 0]), b[:, 1].copy() if by_person else None) for b in rows)
        found = best(blocks, k, Loss(span, tuple(weights), tuple(whole)))
        return (found.rows + 1, found.groups, found.records)
    def packed_cut(k, span, weights, whole, by_person, rows):
        return _listed(cut(k, span, weights, whole, by_person, [_unpacked(rows, len(weights) + 2)]))
    def _unpacked(rows, columns):
        if len(rows) % (8 * columns):
            raise ValueError('a row has eight bytes for each of its numbers')
        return np.frombuffer(rows, dtype='>i8').reshape(-1, columns).astype(np.int64)
    def _listed(columns):
        for start in range(0, len(columns[0]), _ROWS):
            yield tuple((column[start:start + _ROWS].tolist() for column in columns))
    SD["call"] = packed_cut
return SD["call"](k, span, weights, whole, by_person, ordered)
$sqlanon$;
REVOKE EXECUTE ON FUNCTION sqlanon.sqlanon_groups(bigint, bigint, bigint[], boolean[], boolean, bytea) FROM PUBLIC;
COMMENT ON FUNCTION sqlanon.sqlanon_groups(bigint, bigint, bigint[], boolean[], boolean, bytea) IS 'The cheapest cut of a sequence of rows into groups of at least k: row (from 1), group and records.';

CREATE OR REPLACE FUNCTION sqlanon.sqlanon_ranks(bits bigint, coordinates bigint, points bytea)
RETURNS TABLE (id bigint[], rank bigint[])
LANGUAGE plpython3u IMMUTABLE STRICT PARALLEL SAFE SECURITY INVOKER SET search_path = pg_catalog, pg_temp
AS $sqlanon$
if "call" not in SD:
    import numpy as np
    def hilbert(coordinates, bits):
        count = coordinates.shape[1]
        if bits < 1 or bits * count > 62:
            raise ValueError('a rank on the curve has at most 62 bits')
        if len(coordinates) and (not (coordinates.min() >= 0 and coordinates.max() < 1 << bits)):
            raise ValueError('a coordinate does not fit its bits')
        axes = _transposed([coordinates[:, i].copy() for i in range(count)], bits)
        rank = np.zeros(len(coordinates), dtype=np.int64)
        for bit in range(bits - 1, -1, -1):
            for axis in axes:
                rank = rank << 1 | axis >> bit & 1
        return rank
    def _transposed(axes, bits):
        for bit in range(bits - 1, 0, -1):
            below = (1 << bit) - 1
            for i in range(len(axes)):
                turned = axes[i] >> bit & 1 == 1
                swapped = np.where(turned, 0, (axes[0] ^ axes[i]) & below)
                axes[0] = np.where(turned, axes[0] ^ below, axes[0] ^ swapped)
                axes[i] = axes[i] ^ swapped if i else axes[i]
        for i in range(1, len(axes)):
            axes[i] = axes[i] ^ axes[i - 1]
        flip = np.zeros_like(axes[0])
        for bit in range(bits - 1, 0, -1):
            flip = np.where(axes[-1] >> bit & 1 == 1, flip ^ (1 << bit) - 1, flip)
        return [axis ^ flip for axis in axes]
    _ROWS = 1 << 16
    def ranks(bits, columns, rows):
        found = [(block[:, 0], hilbert(block[:, 1:], bits)) for block in rows if len(block)]
        return tuple((np.concatenate(part) for part in zip(*found, strict=True))) if found else (_NOTHING, _NOTHING)
    def packed_ranks(bits, columns, rows):
        return _listed(ranks(bits, columns, [_unpacked(rows, columns + 1)]))
    _NOTHING = np.empty(0, dtype=np.int64)
    def _unpacked(rows, columns):
        if len(rows) % (8 * columns):
            raise ValueError('a row has eight bytes for each of its numbers')
        return np.frombuffer(rows, dtype='>i8').reshape(-1, columns).astype(np.int64)
    def _listed(columns):
        for start in range(0, len(columns[0]), _ROWS):
            yield tuple((column[start:start + _ROWS].tolist() for column in columns))
    SD["call"] = packed_ranks
return SD["call"](bits, coordinates, points)
$sqlanon$;
REVOKE EXECUTE ON FUNCTION sqlanon.sqlanon_ranks(bigint, bigint, bytea) FROM PUBLIC;
COMMENT ON FUNCTION sqlanon.sqlanon_ranks(bigint, bigint, bytea) IS 'The ranks of points on the Hilbert curve: id and rank.';

CREATE OR REPLACE FUNCTION sqlanon.sqlanon_hierarchical_distance(counts bigint[], reference bigint[], parents bigint[], widths bigint[])
RETURNS double precision
LANGUAGE plpython3u IMMUTABLE STRICT PARALLEL SAFE SECURITY INVOKER SET search_path = pg_catalog, pg_temp
AS $sqlanon$
if "call" not in SD:
    from itertools import pairwise
    import numpy as np
    def hierarchical(counts, reference, parents):
        differences, scale = _differences(counts, reference)
        _check_hierarchy(len(reference), parents)
        work = _sum_of_absolutes(differences)
        for level, above in pairwise(parents):
            differences = _sums_by_parent(differences, level, len(above))
            work = work + _sum_of_absolutes(differences)
        return work / (2 * len(parents) * scale)
    def _differences(counts, reference):
        if counts.ndim != 2 or counts.shape[1:] != reference.shape:
            raise ValueError(f'counts {counts.shape} must be [classes, values], reference {reference.shape} [values]')
        class_counts, table_counts = (counts.astype(np.float64), reference.astype(np.float64))
        sizes, total = (class_counts.sum(axis=1), table_counts.sum())
        if not (total > 0 and np.all(sizes > 0) and np.all(class_counts >= 0) and np.all(table_counts >= 0)):
            raise ValueError('every class and the reference must hold at least one record, and no count may be negative')
        return (class_counts * total - table_counts * sizes[:, np.newaxis], sizes * total)
    def _sum_of_absolutes(block):
        sums = np.abs(block).sum(axis=1)
        return sums
    def _sums_by_parent(block, level, nodes):
        order = np.argsort(level, kind='stable')
        present, starts = np.unique(level[order], return_index=True)
        sums = np.zeros((len(block), nodes))
        sums[:, present] = np.add.reduceat(block[:, order], starts, axis=1)
        return sums
    def _check_hierarchy(values, parents):
        if not parents:
            raise ValueError('a hierarchy needs at least one level, the root, above its values')
        widths = [len(level) for level in parents]
        if widths[0] != values:
            raise ValueError(f'the hierarchy has {widths[0]} leaves, the counts have {values} values')
        for height, (level, nodes) in enumerate(zip(parents, [*widths[1:], 1], strict=True), start=1):
            if np.any((level < 0) | (level >= nodes)):
                raise ValueError(f'a parent at height {height} of the hierarchy is not one of its {nodes} nodes there')
    def hierarchical_distance(counts, reference, parents, widths):
        if sum(widths) != len(parents):
            raise ValueError('the widths of the levels add up to the number of parents')
        ends = np.cumsum([0, *widths]).tolist()
        levels = [_array(parents[start:end]) for start, end in pairwise(ends)]
        return float(hierarchical(_array(counts)[np.newaxis], _array(reference), levels)[0])
    def _array(numbers):
        return np.array(numbers, dtype=np.int64)
    SD["call"] = hierarchical_distance
return SD["call"](counts, reference, parents, widths)
$sqlanon$;
REVOKE EXECUTE ON FUNCTION sqlanon.sqlanon_hierarchical_distance(bigint[], bigint[], bigint[], bigint[]) FROM PUBLIC;
COMMENT ON FUNCTION sqlanon.sqlanon_hierarchical_distance(bigint[], bigint[], bigint[], bigint[]) IS 'The earth mover''s distance of a class from its table over a hierarchy, 0 to 1.';
