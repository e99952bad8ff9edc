"""Chaos: seeded loads, faults on real peers, and the checks that an outsider can believe.

    tools/chaos --help

Everything is drawn from a seed, so a run can be repeated. What a run did and found is counted in a
`tally.Tally`; docs/reliability.md tells what is promised and which of these tests shows it.
"""
