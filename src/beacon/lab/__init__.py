"""The lab: simulated regional providers with scripted delays, faults and answers, over real HTTP.

It is reached over HTTP only. What it serves is marked simulated, and what it scripts is written down in
`docs/lab.md`, so that an analysis has a known truth to find and a known null to stay silent on.
"""
