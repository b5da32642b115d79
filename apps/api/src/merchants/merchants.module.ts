import { Module } from '@nestjs/common';
import { MerchantLoader } from './merchant.loader.js';
import { MerchantsController } from './merchants.controller.js';

@Module({ controllers: [MerchantsController], providers: [MerchantLoader], exports: [MerchantLoader] })
export class MerchantsModule {}
