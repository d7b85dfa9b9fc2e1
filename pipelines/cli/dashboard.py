"""The verb that shows runs and models in a browser."""

from __future__ import annotations

import json

from pipelines.cli import options


def ui(
    port: options.PagePort = 8600,
    browser: options.Browser = True,
    pipeline_root: options.PipelineRoot = options.DEFAULT_ROOT,
    models: options.Models = None,
    as_json: options.Json = False,
) -> None:
    """Show runs and models in a browser.

    The pages are for this machine alone. They read, and run nothing but the model that is asked.
    """
    from pipelines.dashboard.app import Places
    from pipelines.dashboard.server import serve
    from pipelines.runs import launch

    def tell(url: str) -> None:
        line = json.dumps({"url": url}) if as_json else f"{url} shows {places.pipeline_root}; Ctrl-C ends it"
        # Whoever waits for the address may read it from a pipe.
        print(line, flush=True)

    places = Places(launch.absolute(pipeline_root), options.models_dir(models, pipeline_root))
    serve(places, port, tell, open_browser=browser and not as_json)
