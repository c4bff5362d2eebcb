"""`save_pretrained`, `from_pretrained` and `push_to_hub` as methods; importing them costs nothing.

The names are those of the Hugging Face hub's mixin. What they do stands above the classes that have
them.
"""

import importlib
import os
from collections.abc import Mapping
from typing import Any, ClassVar, TypeVar

Hubbed = TypeVar("Hubbed", bound="HubMethods")


class HubMethods:
    """A model that goes to the Hugging Face hub, or into a folder that could, and comes back.

    Attributes:
        hub_module: module with the three functions.
    """

    hub_module: ClassVar[str] = "swin_dense.adapters.hub.backbones"

    def save_pretrained(
        self,
        folder: str | os.PathLike[str],
        *,
        metrics: Mapping[str, Any] | None = None,
        dataset: str | None = None,
    ) -> None:
        """Write `model.safetensors`, `config.json` and a model card into a folder.

        Args:
            folder: made if absent; weights and config in it are replaced, a `README.md` is not.
            metrics: for the card, as `evaluate` gives them: numbers by name, or tables of them.
            dataset: they were measured on, for the card.

        Raises:
            ValueError: the model is none of ours.
        """
        self._hub().save_pretrained(self, folder, metrics=metrics, dataset=dataset)

    @classmethod
    def from_pretrained(
        cls: type[Hubbed],
        source: str | os.PathLike[str],
        *,
        revision: str | None = None,
        token: str | bool = False,
    ) -> Hubbed:
        """Build the model of such a folder, or of a repository of the hub.

        Args:
            source: a folder, or `OWNER/NAME` on the hub.
            revision: branch, tag or commit on the hub; None is its main branch.
            token: for a private repository; True: the one that this machine has stored, or its
                environment holds. Neither is read unless asked for.

        Returns:
            The model in eval mode.

        Raises:
            FileNotFoundError: there is no such folder or repository, or no network.
            ValueError: what is there cannot be read safely, or is a model of another class.
        """
        module = importlib.import_module(cls.hub_module)
        model = module.from_pretrained(source, revision=revision, token=token)
        if not isinstance(model, cls):
            raise ValueError(
                f"{os.fspath(source)} must hold a {cls.__name__}, got a {type(model).__name__}"
            )
        return model

    def push_to_hub(
        self,
        repo_id: str,
        *,
        metrics: Mapping[str, Any] | None = None,
        dataset: str | None = None,
        token: str | bool = False,
        **options: Any,
    ) -> str:
        """Upload what `save_pretrained` writes into a repository, which is made if absent.

        Args:
            repo_id: `OWNER/NAME` on the hub.
            metrics: see `save_pretrained`.
            dataset: see `save_pretrained`.
            token: see `from_pretrained`.
            options: of huggingface_hub's `ModelHubMixin.push_to_hub`, such as `private`, `branch`,
                `create_pr` and `commit_message`.

        Returns:
            The address of the commit.

        Raises:
            ModuleNotFoundError: huggingface_hub is not installed.
            ValueError: the hub refuses it, or the model is none of ours.
        """
        return self._hub().push_to_hub(
            self, repo_id, metrics=metrics, dataset=dataset, token=token, **options
        )

    @classmethod
    def _hub(cls) -> Any:
        return importlib.import_module(cls.hub_module)
