"""Where our processes may send requests, and how: checked destinations, names that are resolved once, and proxies.

Operations fetch by these rules, and webhooks are delivered by them.
"""
