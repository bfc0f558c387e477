from dataclasses import dataclass


@dataclass
class Gauge:
    scale: int
    offset: int

    def read(self, drops: int) -> int:
        return self.scale * drops + self.offset
