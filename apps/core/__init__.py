"""What every other app stands on: events, errors, leases, registries, sealed fields, outbound, settings, API and
console base.
"""
