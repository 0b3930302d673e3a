"""Where answers come from: recorded in the bundle, a local model, or a server.

One interface (`interface.Backend`).
"""
