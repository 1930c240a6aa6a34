"""
Tables and one product to sell; run once before the server.
"""

from decimal import Decimal

import django


def sow():
    """
    Make them.
    """
    from django.core.management import call_command
    from oscar.apps.catalogue.categories import create_from_breadcrumbs
    from oscar.core.loading import get_model

    call_command("migrate", verbosity=0, run_syncdb=True)
    country = {
        "iso_3166_1_a2": "GB",
        "iso_3166_1_a3": "GBR",
        "iso_3166_1_numeric": "826",
        "printable_name": "United Kingdom",
        "name": "United Kingdom",
        "is_shipping_country": True,
    }
    get_model("address", "Country").objects.create(**country)
    kind = get_model("catalogue", "ProductClass").objects.create(
        name="Kettles", requires_shipping=True, track_stock=True
    )
    kettle = get_model("catalogue", "Product").objects.create(
        structure="standalone", product_class=kind, title="Kettle", slug="kettle"
    )
    kettle.categories.add(create_from_breadcrumbs("Kitchen"))
    get_model("partner", "StockRecord").objects.create(
        product=kettle,
        partner=get_model("partner", "Partner").objects.create(name="Warehouse"),
        partner_sku="KETTLE-1",
        price=Decimal("24.90"),
        num_in_stock=50,
    )


if __name__ == "__main__":
    django.setup()
    sow()
