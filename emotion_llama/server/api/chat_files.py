"""Files that are uploaded first and talked about later, in the form of OpenAI's files.

Knows: whose file is which, for how long. Does not know: what is in a file, what is said about it.
A file belongs to the key that sent it; where no key is required, to whoever asks. Nothing is kept
over a restart.
"""

import asyncio
import secrets
import time
from dataclasses import dataclass

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from emotion_llama.config import ServeConfig
from emotion_llama.server.api.api_error import ApiError, retry_later
from emotion_llama.server.api.bodies import FILE_FIELD, Form, read_form
from emotion_llama.server.api.guard import key_name
from emotion_llama.server.api.schemas import (
    FileListResponse,
    FileRemovedResponse,
    FileResponse,
    error_responses,
)
from emotion_llama.server.api.uploads import Upload, UploadFolder

MAX_PURPOSE_CHARS = 64
"""Longest purpose; OpenAI's have up to ten."""

_FORM = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "additionalProperties": False,
                    "required": ["file", "purpose"],
                    "properties": {
                        "file": {
                            "type": "string",
                            "format": "binary",
                            "description": "a video, sound or picture; its kind is found by "
                            "decoding it, when it is asked about",
                        },
                        "purpose": {
                            "type": "string",
                            "minLength": 1,
                            "maxLength": MAX_PURPOSE_CHARS,
                            "description": "any word; it changes nothing",
                        },
                    },
                }
            }
        },
    }
}


@dataclass(frozen=True)
class StoredFile:
    """An uploaded file and who may use it."""

    file_id: str
    owner: str
    upload: Upload
    purpose: str
    created_s: int
    expires_s: int

    def to_dict(self) -> dict[str, object]:
        """Give the file in the form of OpenAI."""
        return FileResponse(
            id=self.file_id,
            bytes=self.upload.num_bytes,
            created_at=self.created_s,
            expires_at=self.expires_s,
            filename=self.upload.name,
            purpose=self.purpose,
        ).model_dump()


class ChatFiles:
    """The files that are kept; each is removed when its time is over, asked for or not.

    Args:
        folder: holds them
        settings: how many, and for how long
    """

    def __init__(self, folder: UploadFolder, settings: ServeConfig) -> None:
        self._folder = folder
        self._keep_s = settings.keep_files_s
        self._max_files = settings.max_files
        self._files: dict[str, StoredFile] = {}

    def require_room(self, owner: str) -> None:
        """Check that one more file may be kept.

        Raises:
            ApiError: there are as many as may be (429); says when the oldest goes
        """
        own = self.of(owner)
        if len(own) >= self._max_files:
            wait_s = own[0].expires_s - time.time()
            msg = f"found {len(own)} files, which is the most that are kept; delete one first"
            raise retry_later(429, "too_many_files", msg, wait_s)

    def add(self, owner: str, upload: Upload, purpose: str) -> StoredFile:
        """Keep a file that was received."""
        now = int(time.time())
        file_id = f"file-{secrets.token_hex(16)}"
        stored = StoredFile(file_id, owner, upload, purpose, now, int(now + self._keep_s))
        self._files[file_id] = stored
        asyncio.get_running_loop().call_later(self._keep_s, self._drop, file_id)
        return stored

    def of(self, owner: str) -> list[StoredFile]:
        """Give the files of a key, oldest first."""
        return [one for one in self._files.values() if one.owner == owner]

    def get(self, owner: str, file_id: str) -> StoredFile:
        """Give a file.

        Raises:
            ApiError: there is none (404); one of another key looks the same as none
        """
        stored = self._files.get(file_id)
        if stored is None or stored.owner != owner:
            msg = f"found no file {file_id[:100]!r}; upload it with POST /v1/files"
            raise ApiError(404, "file_not_found", msg, param="file_id")
        return stored

    def remove(self, owner: str, file_id: str) -> None:
        """Remove a file.

        Raises:
            ApiError: there is none (404)
        """
        self._drop(self.get(owner, file_id).file_id)

    def clear(self) -> None:
        """Remove all."""
        for file_id in list(self._files):
            self._drop(file_id)

    def _drop(self, file_id: str) -> None:
        if (stored := self._files.pop(file_id, None)) is not None:
            self._folder.remove(stored.upload)


def owner_of(request: Request) -> str:
    """Name whose files a request may use."""
    return key_name(request) or ""


def make_router(files: ChatFiles, folder: UploadFolder) -> APIRouter:
    """Make the routes of ``/v1/files``."""
    router = APIRouter(prefix="/v1/files", tags=["files"], default_response_class=JSONResponse)

    @router.post(
        "",
        summary="Upload a file for chat",
        openapi_extra=_FORM,
        responses={
            200: {"model": FileResponse, "description": "The file is kept."},
            **error_responses(408, 413, 415, 422, 429),
        },
    )
    async def upload_file(request: Request) -> JSONResponse:
        """Keep a file for an hour or as set, to be named as `file_id` in chat."""
        files.require_room(owner_of(request))
        form = await read_form(request, folder, ("purpose",))
        try:
            upload, purpose = _checked(form)
            # others may have come meanwhile
            files.require_room(owner_of(request))
        except BaseException:
            if form.upload is not None:
                folder.remove(form.upload)
            raise
        return JSONResponse(files.add(owner_of(request), upload, purpose).to_dict())

    @router.get(
        "",
        summary="List files",
        responses={
            200: {"model": FileListResponse, "description": "All files of the key."},
            **error_responses(429),
        },
    )
    async def list_files(request: Request) -> JSONResponse:
        """Give all files of the key, oldest first, in one page."""
        data = [one.to_dict() for one in files.of(owner_of(request))]
        return JSONResponse({"object": "list", "data": data, "has_more": False})

    @router.get(
        "/{file_id}",
        summary="Describe a file",
        responses={
            200: {"model": FileResponse, "description": "The file is there."},
            **error_responses(404, 422, 429),
        },
    )
    async def describe_file(request: Request, file_id: str) -> JSONResponse:
        """Tell of a file; its bytes are not given back."""
        return JSONResponse(files.get(owner_of(request), file_id).to_dict())

    @router.delete(
        "/{file_id}",
        summary="Remove a file",
        responses={
            200: {"model": FileRemovedResponse, "description": "The file is gone."},
            **error_responses(404, 422, 429),
        },
    )
    async def remove_file(request: Request, file_id: str) -> JSONResponse:
        """Remove a file at once."""
        files.remove(owner_of(request), file_id)
        return JSONResponse(FileRemovedResponse(id=file_id).model_dump())

    return router


def _checked(form: Form) -> tuple[Upload, str]:
    """Check that a form has a file and a purpose.

    Raises:
        ApiError: it has not (422)
    """
    if form.upload is None:
        msg = "found no field 'file', expected the file to upload"
        raise ApiError(422, "invalid", msg, param=FILE_FIELD)
    purpose = form.fields.get("purpose", "")
    if not 1 <= len(purpose) <= MAX_PURPOSE_CHARS:
        msg = (
            f"found a purpose of {len(purpose)} characters, expected 1 to {MAX_PURPOSE_CHARS}, "
            "such as user_data"
        )
        raise ApiError(422, "invalid", msg, param="purpose")
    return form.upload, purpose
