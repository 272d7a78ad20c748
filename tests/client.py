"""A client of the REST API, as an integrator would write one."""

import io
from typing import Any

import numpy as np
import urllib3
from numpy.typing import NDArray
from PIL import Image

from tests.servers import wait_until

FINISHED = ("succeeded", "failed")


class Client:
    def __init__(self, url: str, username: str, password: str = "correct-horse-battery") -> None:
        self.url = url
        self.http = urllib3.PoolManager(retries=False, timeout=30)
        answer = self.http.request(
            "POST", f"{url}/api/v1/tokens/", json={"username": username, "password": password}
        )
        assert answer.status == 201, answer.data
        self.headers = {"Authorization": f"Bearer {answer.json()['token']}"}

    def get(self, path: str) -> Any:
        answer = self.http.request("GET", f"{self.url}/api/v1/{path}", headers=self.headers)
        assert answer.status == 200, (answer.status, answer.data[:500])
        return answer.json()

    def post(self, path: str, *, status: int = 201, **request: Any) -> Any:
        """The answer to json=... or fields=..., which must have this status."""
        url = f"{self.url}/api/v1/{path}"
        answer = self.http.request("POST", url, headers=self.headers, **request)
        assert answer.status == status, (answer.status, answer.data[:500])
        return answer.json()

    def upload(self, content: bytes, name: str = "x-ray.png") -> dict[str, Any]:
        """The answer of an upload, which must have been acknowledged."""
        answer = self.http.request(
            "POST", f"{self.url}/api/v1/radiographs/", headers=self.headers, fields={"file": (name, content)}
        )
        assert answer.status == 201, (answer.status, answer.data[:500])
        return dict(answer.json())

    def state(self, prediction_id: str) -> str:
        return str(self.get(f"predictions/{prediction_id}/")["state"])

    def wait_for_answer(self, prediction_id: str, seconds: float = 120) -> dict[str, Any]:
        def finished() -> dict[str, Any] | None:
            prediction = self.get(f"predictions/{prediction_id}/")
            return prediction if prediction["state"] in FINISHED else None

        answer = wait_until(finished, what=f"the answer of prediction {prediction_id}", seconds=seconds)
        assert isinstance(answer, dict)
        return answer


def png(pixels: NDArray[np.uint8]) -> bytes:
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG", compress_level=1)
    return content.getvalue()


def large_xray(side: int) -> bytes:
    """A picture that takes a worker long enough to be caught in the middle of it."""
    ramp = np.linspace(0, 255, side, dtype=np.uint8)
    return png(np.add.outer(ramp // 2, ramp // 2).astype(np.uint8))
