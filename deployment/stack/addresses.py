"""Ranges of IPv4 addresses: which are somebody's own, and which would let the world in."""

from ipaddress import IPv4Network

# RFC 1918, and RFC 6598's shared space, which Google lets subnets use as well.
PRIVATE = tuple(IPv4Network(text) for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10"))
# Google's range for TCP forwarding by Identity-Aware Proxy, from the IAP documentation.
IAP_RANGE = "35.235.240.0/20"
WIDEST_PUBLIC_PREFIX = 16
LARGEST_SUBNET_PREFIX = 29


def private_range(text: str) -> str:
    """Refuse what is not a range of private addresses."""
    network = _network(text)
    if not any(network.subnet_of(private) for private in PRIVATE):
        raise ValueError("not a private range")
    return text


def public_range(text: str) -> str:
    """Refuse what is no range, or so wide that it is the world."""
    if _network(text).prefixlen < WIDEST_PUBLIC_PREFIX:
        raise ValueError(f"wider than /{WIDEST_PUBLIC_PREFIX}")
    return text


def client_range(text: str) -> str:
    """Refuse what is neither private nor a public range that is no wider than it may be."""
    is_private = any(_network(text).subnet_of(private) for private in PRIVATE)
    return text if is_private else public_range(text)


def overlap(one: str, other: str) -> bool:
    """Say whether two ranges share an address."""
    return IPv4Network(one).overlaps(IPv4Network(other))


def prefix_length(text: str) -> int:
    return IPv4Network(text).prefixlen


def _network(text: str) -> IPv4Network:
    try:
        return IPv4Network(text)
    except ValueError as error:
        reason = "its host bits are set" if "host bits" in str(error) else "not an IPv4 range"
        raise ValueError(reason) from None
