"""catalog.lock.toml: what Google's lists say today, as a file, and what changed, in words."""

import json
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

from deployment.frozen import Frozen
from deployment.stack.catalog import TABLE, Catalog, Purchase, catalog_from
from deployment.stack.machine_list import LockedSeries, series_from
from deployment.stack.price_list import DiskPrices, MachinePrices, prices_from

HEAD = """\
# Written by `fab catalog-refresh` from Google's lists of machine types and prices; not to be edited. What is kept by
# hand, with its sources, stands in catalog.toml; what stands here wins over it.
"""


class Lock(Frozen):
    """What the file holds, in the order in which it does."""

    series: Mapping[str, LockedSeries]
    prices: MachinePrices
    disk_prices: DiskPrices


def lock_from(machine_types: Any, skus: Any, dated: str) -> tuple[Lock, tuple[str, ...]]:
    """Make the lock's content, and say what could not be told. Raises ConfigError where an answer is not whole."""
    kept = catalog_from(by_hand(), {})
    names = sorted(kept.series)
    included = {
        name: {"free_iops": kind.default_iops or 0, "free_throughput_mib_s": kind.default_throughput_mib_s or 0}
        for name, kind in kept.disk_types.items()
        if kind.default_iops
    }
    series = series_from(machine_types, names, dated)
    prices = prices_from(skus, names, included, dated)
    lock = Lock(series=series, prices=prices.machines, disk_prices=prices.disks)
    catalog_of(lock)
    return lock, prices.untold


def catalog_of(lock: Lock) -> Catalog:
    """Return the catalog that this lock makes of the table. Raises ConfigError where they do not fit."""
    return catalog_from(by_hand(), _plain(lock))


def by_hand() -> Any:
    """The table that is kept by hand, as TOML has it."""
    return tomllib.loads(TABLE.read_text(encoding="utf-8"))


def lock_text(lock: Lock) -> str:
    """Write the lock down. The same content gives the same text."""
    return HEAD + "".join(_tables(_plain(lock), ()))


def _plain(lock: Lock) -> Any:
    """As it is read again."""
    return lock.model_dump(mode="json", exclude_unset=True)


def _tables(table: Any, path: tuple[str, ...]) -> Iterator[str]:
    plain = {key: value for key, value in table.items() if not isinstance(value, Mapping)}
    if plain:
        yield f"\n[{'.'.join(path)}]\n"
        yield from (f"{key} = {_value(key, value)}\n" for key, value in plain.items())
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from _tables(value, (*path, key))


def _value(key: str, value: Any) -> str:
    if key == "dated":
        return str(value)
    if isinstance(value, float):
        return f"{value:.12f}".rstrip("0")
    return json.dumps(value)


def changes(old: Catalog, new: Catalog) -> Iterator[str]:
    """Say what is new, gone and different."""
    for name, series in new.series.items():
        before, after = set(old.series[name].offered.regions), set(series.offered.regions)
        yield from _listed(f"{name}: new in", after - before)
        yield from _listed(f"{name}: gone from", before - after)
        known, listed = set(old.machine_types(name)), set(series.listed)
        yield from _listed(f"{name}: new machine types", listed - known)
        yield from _listed(f"{name}: no longer listed", known - listed)
    yield from _prices(old, new)


def _listed(what: str, names: set[str]) -> Iterator[str]:
    if names:
        yield f"{what} {', '.join(sorted(names))}"


def _prices(old: Catalog, new: Catalog) -> Iterator[str]:
    """Machines whose price is new, together, and each one that changed."""
    first: dict[str, list[str]] = {}
    for region, by_series in new.prices.items():
        for name, by_purchase in by_series.items():
            for purchase, price in by_purchase.items():
                before = _before(old, region, name, purchase)
                what = f"{name} {purchase.replace('_', ' ')}"
                if before is None:
                    first.setdefault(what, []).append(region)
                elif before != (price.per_vcpu, price.per_gib):
                    yield (
                        f"{what} in {region}: {before[0]:g} and {before[1]:g} USD an hour for a vCPU and a GiB, "
                        f"now {price.per_vcpu:g} and {price.per_gib:g}"
                    )
    for what, regions in first.items():
        yield f"{what}: first price in {', '.join(regions)}"
    yield from _disk_prices(old, new)


def _disk_prices(old: Catalog, new: Catalog) -> Iterator[str]:
    for region, disks in new.disk_prices.items():
        for name, disk in disks.items():
            past = old.disk_prices.get(region, {}).get(name)
            if past is None:
                yield f"{name}: first price in {region}"
            elif past.per_gib != disk.per_gib:
                yield f"{name} in {region}: {past.per_gib:g} USD a month for a GiB, now {disk.per_gib:g}"


def _before(old: Catalog, region: str, name: str, purchase: Purchase) -> tuple[float, float] | None:
    price = old.prices.get(region, {}).get(name, {}).get(purchase)
    return None if price is None else (price.per_vcpu, price.per_gib)
