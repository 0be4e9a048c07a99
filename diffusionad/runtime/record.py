"""The record of an export: its model, how well it agrees with that, how fast it was and on which machine.

A folder of exports holds the model's own two files and, for each variant, a folder such as `openvino-bf16`.
"""

import hashlib
import os
import platform
from pathlib import Path

from pydantic import Field, ValidationError

from diffusionad.runtime.engines import EXPORTS, Precision, Runtime, Variant
from diffusionad.section import Section

RECORD = "export.json"


class ExportRecord(Section):
    """export.json."""

    model: str = Field(description="SHA-256 of the model's files")
    runtime: Runtime
    precision: Precision
    images: int = Field(description="validation images behind the next figures")
    map_difference: float = Field(description="largest difference of the anomaly map from torch's in fp32")
    image_auroc: float | None = Field(description="on the validation set; null without images of both kinds")
    image_auroc_torch: float | None = Field(description="the same in torch, fp32")
    machine: str = Field(description="machine on which the next figures were measured")
    threads: int
    ms: float = Field(description="median time of one image, ms")
    ms_torch: float = Field(description="the same in torch, fp32, timed in turns with the export")
    spread: float = Field(description="interquartile range over median of the times of the export")
    file_mib: float

    @property
    def variant(self) -> Variant:
        """Runtime and precision of the export."""
        return Variant(self.runtime, self.precision)

    @property
    def speedup(self) -> float:
        """Speed relative to torch in fp32; above 1 is faster."""
        return self.ms_torch / self.ms


def machine() -> str:
    """Name this machine by its processor and its number of cores."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        lines = [line for line in cpuinfo.read_text(encoding="utf-8").splitlines() if line.startswith("model name")]
        model = lines[0].split(":", 1)[1].strip() if lines else model
    return f"{model}, {os.cpu_count()} cores"


def digest_of(files: list[Path]) -> str:
    """Compute the SHA-256 of the SHA-256s of files, in the order given."""
    digest = hashlib.sha256()
    for file in files:
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def read_record(folder: Path, variant: Variant, model: str) -> ExportRecord:
    """Read the record of an export of the model with digest `model`.

    Raises:
        ValueError: If there is no such export, its record is damaged, or it was made from another version of the model.
    """
    file = folder / str(variant) / RECORD
    command = f"run `diffusionad export --runtime {variant.runtime} --precision {variant.precision} --model MODEL`"
    try:
        record = ExportRecord.model_validate_json(file.read_bytes())
    except FileNotFoundError:
        raise ValueError(f"{folder}: no export {variant} here; {command}") from None
    except ValidationError as error:
        raise ValueError(f"{file}: not the record of an export ({error.error_count()} errors); {command}") from None
    if record.model != model:
        raise ValueError(f"{file.parent}: made from another version of the model in {folder}; {command}")
    return record


def fastest(folder: Path, model: str) -> Variant:
    """Choose the variant that was the fastest on this machine; torch in fp32 if none was measured here or is faster."""
    here = machine()
    records = []
    for variant in (Variant(*names) for names in EXPORTS):
        if (folder / str(variant) / RECORD).is_file():
            record = read_record(folder, variant, model)
            if record.machine == here and record.speedup > 1:
                records.append(record)
    return max(records, key=lambda record: record.speedup).variant if records else Variant("torch", "fp32")
