"""What Google answers when it refuses: one exception, and the JSON that clients read."""

from typing import Any

STATUS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ALREADY_EXISTS",
    412: "FAILED_PRECONDITION",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
}


class ApiError(Exception):
    """A refusal with Google's HTTP code, reason and message."""

    def __init__(
        self, code: int, reason: str, message: str, *, details: list[dict[str, Any]] | None = None, status: str = ""
    ) -> None:
        super().__init__(message)
        self.code, self.reason, self.message = code, reason, message
        self.details = details or []
        self.status = status or STATUS.get(code, "UNKNOWN")

    def body(self) -> dict[str, Any]:
        """Compute and Storage clients read `errors`, the newer APIs' clients `status` and `details`; both are there."""
        domain = "usageLimits" if self.reason == "accessNotConfigured" else "global"
        error: dict[str, Any] = {
            "code": self.code,
            "message": self.message,
            "errors": [{"message": self.message, "domain": domain, "reason": self.reason}],
            "status": self.status,
        }
        return {"error": {**error, "details": self.details} if self.details else error}


def invalid(message: str) -> ApiError:
    """400: the request itself is wrong."""
    return ApiError(400, "invalid", message)


def invalid_field(field: str, value: object, why: str) -> ApiError:
    """400 in Compute's words for one field."""
    return invalid(f"Invalid value for field '{field}': '{value}'. {why}")


def not_found(path: str) -> ApiError:
    """404 in Compute's words."""
    return ApiError(404, "notFound", f"The resource '{path}' was not found")


def already_exists(path: str) -> ApiError:
    """409 in Compute's words."""
    return ApiError(409, "alreadyExists", f"The resource '{path}' already exists")


def in_use(path: str, user: str) -> ApiError:
    """What keeps a disk or a network from being deleted."""
    message = f"The {path.split('/')[-2].removesuffix('s')} resource '{path}' is already being used by '{user}'"
    return ApiError(400, "resourceInUseByAnotherResource", message)


def permission_denied(permission: str, path: str) -> ApiError:
    """403 for an account that lacks a permission."""
    return ApiError(
        403,
        "forbidden",
        f"Required '{permission}' permission for '{path}'",
        details=[
            {
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": "IAM_PERMISSION_DENIED",
                "domain": "iam.googleapis.com",
                "metadata": {"permission": permission, "resource": path},
            }
        ],
    )


def service_disabled(service: str, title: str, project: str, number: str) -> ApiError:
    """403 for an API that is not enabled, with the link that Google gives."""
    link = f"https://console.developers.google.com/apis/api/{service}/overview?project={number}"
    message = (
        f"{title} has not been used in project {number} before or it is disabled. Enable it by visiting {link} then"
        " retry. If you enabled this API recently, wait a few minutes for the action to propagate to our systems and"
        " retry."
    )
    details: list[dict[str, Any]] = [
        {
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": "SERVICE_DISABLED",
            "domain": "googleapis.com",
            "metadata": {"service": service, "consumer": f"projects/{number}", "containerInfo": project},
        },
        {
            "@type": "type.googleapis.com/google.rpc.Help",
            "links": [{"description": "Google developers console API activation", "url": link}],
        },
    ]
    return ApiError(403, "accessNotConfigured", message, details=details)
