"""The lookup and the encoder behind Serve handles: one hop each, by value, tried again once when a replica dies."""

from typing import Any

import numpy as np
from ray.exceptions import RayActorError, RayTaskError
from ray.serve.handle import DeploymentHandle

from rosa_ray.serving.messages import Encoded, EncodeQuery, FeatureQuery, Features, Written


class _Remote:
    def __init__(self, handle: DeploymentHandle) -> None:
        self._handle = handle.options(_by_reference=False)

    async def _call(self, method: str, *arguments: Any, session: str = "") -> Any:
        """Call a method of a replica.

        Calls of one `session` go to the same replica where the deployment's router heeds it. Serve itself tries again
        only what no replica had accepted. All methods may run twice: reads change nothing, and repeated event ids
        change nothing.
        """
        try:
            return await self._call_once(method, session, *arguments)
        except RayActorError:
            return await self._call_once(method, session, *arguments)

    async def _call_once(self, method: str, session: str, *arguments: Any) -> Any:
        handle = self._handle.options(method_name=method, session_id=session)
        try:
            return await handle.remote(*arguments)
        except RayTaskError as error:
            raise error.cause from None

    async def describe(self) -> dict[str, Any]:
        """Return the condition of a replica."""
        condition: dict[str, Any] = await self._call("describe")
        return condition


class RemoteLookup(_Remote):
    """`FeatureLookup` in another process."""

    async def read(self, query: FeatureQuery) -> Features:
        """See `FeatureLookup.read`."""
        features: Features = await self._call("read", query)
        return features

    async def write(self, events: dict[str, np.ndarray]) -> Written:
        """See `FeatureLookup.write`."""
        written: Written = await self._call("write", events)
        return written


class RemoteEncoder(_Remote):
    """`Encoder` in another process."""

    async def encode(self, query: EncodeQuery) -> Encoded:
        """See `Encoder.encode`; a user goes to one replica as long as the replicas stay the same."""
        encoded: Encoded = await self._call("encode", query, session=str(query.user_key))
        return encoded
