"""Objects of machine-learning frameworks as files, and back: one small adapter each.

How to write an adapter, here (a module in `adapters/`, one line in `table.py`) or in a package of one's own (an entry point in the group
`cas_registry.frameworks` that names the `Adapter`, called like it):

    from cas_registry.frameworks import Adapter, LoadOptions, Saved, SavedObject, SaveOptions, is_a

    def _save(obj, folder: Path, options: SaveOptions) -> Saved:
        obj.save_model(folder / "model.ubj")                # write below `folder`, which is there and empty
        return Saved("ubj", params=flat_params(obj.get_params()))

    def _load(folder: Path, stored: SavedObject, options: LoadOptions) -> object:
        import xgboost                                      # frameworks are imported in functions only
        ...                                                 # `folder` holds `stored.files`, as they were written

    ADAPTER = Adapter(
        name="xgboost",                                     # as in the table and in manifests, for ever
        modules=("xgboost",),                               # `matches` is asked where one of these is loaded already
        matches=lambda obj: is_a(obj, "xgboost.core:Booster"),
        save=_save,
        load=_load,
        libraries={"xgboost": "xgboost"},                   # what loading needs: its name on PyPI, and what is imported
        formats=("ubj",),                                   # that are loaded as data
        pickle_formats=(),                                  # whose loading may run code: only with allow_pickle=True
    )

The rules:

- `matches` imports nothing: what is of a framework cannot be there before the framework is loaded. `is_a` looks a class up among the loaded modules.
- `save` writes the framework's own safest format, the same bytes for the same object (no times, no random names): equal objects are one version,
  and what two trainings share is stored once. Where only pickle is left, and the framework has another format as a rule, it raises
  InvalidInputError, unless `options.allow_pickle`, and says what stands in the way. A framework that has nothing but pickle writes it.
- `Saved.format` is one of `formats` and `pickle_formats`. That a format is loaded as data is this table's word, never a manifest's: `load` must hold to it
  whatever lies in the files (`weights_only=True`, `allow_pickle=False`). It is called for a format of `pickle_formats` only if the caller allowed it.
- Whatever `load` needs beside the files goes into `Saved.details` (flat scalars) or a JSON file. Nothing there names code to be imported or run, unless
  the caller's `options.trust` has it.
- `Saved.params` are hyper-parameters (`flat_params` makes them of whatever there is), `Saved.schema` is the signature where the framework knows one.
- What `save` or `load` can be told beside the object (`model.save(index, options={"metric": "dot"})`) is listed in `save_options` and `load_options`.
  `adapter` is no name for one: it says which adapter is asked first.
"""

from cas_registry.frameworks.adapter import Adapter, LoadOptions, Saved, SaveOptions, is_a
from cas_registry.frameworks.hyperparameters import flat_params
from cas_registry.model.manifest import SavedObject

__all__ = ["Adapter", "LoadOptions", "SaveOptions", "Saved", "SavedObject", "flat_params", "is_a"]
