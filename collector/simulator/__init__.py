"""A local ThousandEyes API: the endpoint user session (v6) and real user test (v7) resources, with a seeded truth
behind.

It exists so that a collector can be tried out, tested and measured without a tenant. Everything it shows follows the
public documentation; where that is silent the behaviour is a switch (`InferredBehaviour`), so that both sides can be
tested. Nothing of it is needed to run the collector against the real API. Start at `server.serve` and
`settings.SimulatorSettings`.
"""
