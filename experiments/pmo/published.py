"""Published areas (AUC of the top 10 over 10,000 calls, mean of runs), to stand beside ours.

No free prescreen, no target named to a language model. `InVirtuoGen` (2025), `Genetic GFN` (Kim et
al. 2024, https://arxiv.org/abs/2402.05961), `Mol GA` (Tripp and Hernandez-Lobato 2023,
https://arxiv.org/abs/2310.09267) and `REINVENT` (as run by Gao et al. 2022,
https://arxiv.org/abs/2206.12411); `best known` is the highest of these and others.
"""

from __future__ import annotations

METHODS = ("InVirtuoGen", "Genetic GFN", "Mol GA", "REINVENT", "best known")

AUC_TOP10: dict[str, tuple[float, ...]] = {
    "albuterol_similarity": (0.950, 0.949, 0.896, 0.882, 0.950),
    "amlodipine_mpo": (0.733, 0.761, 0.688, 0.635, 0.761),
    "celecoxib_rediscovery": (0.798, 0.802, 0.567, 0.713, 0.802),
    "deco_hop": (0.748, 0.733, 0.649, 0.666, 0.826),
    "fexofenadine_mpo": (0.845, 0.856, 0.825, 0.784, 0.856),
    "isomers_c7h8n2o2": (0.968, 0.969, 0.878, 0.852, 0.969),
    "isomers_c9h10n2o2pf2cl": (0.874, 0.897, 0.865, 0.642, 0.897),
    "median1": (0.342, 0.379, 0.257, 0.356, 0.379),
    "median2": (0.288, 0.294, 0.301, 0.276, 0.301),
    "mestranol_similarity": (0.797, 0.708, 0.591, 0.618, 0.797),
    "osimertinib_mpo": (0.870, 0.860, 0.844, 0.837, 0.870),
    "perindopril_mpo": (0.645, 0.595, 0.547, 0.537, 0.645),
    "qed": (0.942, 0.942, 0.941, 0.941, 0.942),
    "ranolazine_mpo": (0.848, 0.819, 0.804, 0.760, 0.848),
    "scaffold_hop": (0.589, 0.615, 0.527, 0.560, 0.615),
    "sitagliptin_mpo": (0.709, 0.634, 0.582, 0.021, 0.709),
    "thiothixene_rediscovery": (0.625, 0.583, 0.519, 0.534, 0.625),
    "troglitazone_rediscovery": (0.595, 0.511, 0.427, 0.441, 0.595),
    "valsartan_smarts": (0.210, 0.135, 0.000, 0.178, 0.210),
    "zaleplon_mpo": (0.536, 0.552, 0.519, 0.358, 0.552),
}
