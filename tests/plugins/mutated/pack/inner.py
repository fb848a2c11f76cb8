from .deep import VALUE

__all__ = ["VALUE"]
