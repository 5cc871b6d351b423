"""Requests of a quick `fab bench` of SmolLM2-135M on two cores that other work kept busy: TTFT and whole answer, s."""

RECORDED = (
    (1.5876, 17.4194),
    (1.242, 29.6454),
    (3.2676, 17.0579),
    (0.5508, 5.762),
    (0.9278, 10.4166),
    (0.7461, 14.8484),
    (1.3756, 20.5942),
    (1.2141, 12.8097),
)
